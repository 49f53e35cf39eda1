"""Templates that several tests begin with."""

SAVE = """\
    Resources:
      Save:
        Type: AWS::Lambda::Function
        Properties:
          FunctionName: save
          Runtime: python3.12
          Handler: app.handler
          Role: arn:aws:iam::000000000000:role/x
          Code: ./code
"""
"""One function; more of its properties, or other resources, may follow."""
