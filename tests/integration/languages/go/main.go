// A function that does what is hard to get across: large results, errors in the middle, panics.
package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type Event struct {
	Case string `json:"case"`
}

type broken struct{ parts []string }

func (reader *broken) Read(into []byte) (int, error) {
	if len(reader.parts) == 0 {
		return 0, errors.New("in the middle")
	}
	part := reader.parts[0]
	reader.parts = reader.parts[1:]
	return copy(into, part), nil
}

func handle(ctx context.Context, event Event) (any, error) {
	about, _ := lambdacontext.FromContext(ctx)
	switch event.Case {
	case "large":
		return strings.Repeat("x", 6<<20-2), nil
	case "stream":
		return io.MultiReader(strings.NewReader("one "), strings.NewReader("two")), nil
	case "middle":
		return &broken{[]string{"one ", "two "}}, nil
	case "page":
		return &events.LambdaFunctionURLStreamingResponse{
			StatusCode: 201,
			Cookies:    []string{"a=1"},
			Body:       io.MultiReader(strings.NewReader("one "), strings.NewReader("two")),
		}, nil
	case "error":
		return nil, errors.New("refused")
	case "panic":
		panic("out of luck")
	}
	return about.AwsRequestID + " " + about.InvokedFunctionArn, nil
}

func main() {
	lambda.Start(handle)
}
