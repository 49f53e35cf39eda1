package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/aws/aws-lambda-go/lambda"
)

type Event struct {
	Name string `json:"name"`
}

type Reply struct {
	Greeting string `json:"greeting"`
	Language string `json:"language"`
}

func handle(_ context.Context, event Event) (Reply, error) {
	if event.Name == "" {
		return Reply{}, errors.New("nobody to greet")
	}
	fmt.Println("greeting", event.Name)
	return Reply{"Hello, " + event.Name + "!", "Go " + runtime.Version()[2:]}, nil
}

func main() {
	lambda.Start(handle)
}
