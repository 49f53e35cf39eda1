"""Assistants that ask a function what to say."""

from typing import Any

from router.cli.samples.parts import ID


def alexa_request(
    request_type: str = "IntentRequest",
    intent: str = "OrderIntent",
    slot: str = "Colour",
    value: str = "blue",
    locale: str = "en-US",
) -> Any:
    """LaunchRequest, IntentRequest or SessionEndedRequest of a skill."""
    application = {"applicationId": "amzn1.ask.skill.example"}
    user = {"userId": "amzn1.ask.account.example"}
    request: dict[str, Any] = {
        "type": request_type,
        "requestId": f"amzn1.echo-api.request.{ID}",
        "timestamp": "2026-01-01T00:00:00Z",
        "locale": locale,
    }
    if request_type == "IntentRequest":
        request["intent"] = {"name": intent, "slots": {slot: {"name": slot, "value": value}}}
    if request_type == "SessionEndedRequest":
        request["reason"] = "USER_INITIATED"
    return {
        "version": "1.0",
        "session": {
            "new": request_type == "LaunchRequest",
            "sessionId": f"amzn1.echo-api.session.{ID}",
            "application": application,
            "attributes": {},
            "user": user,
        },
        "context": {
            "System": {
                "application": application,
                "user": user,
                "device": {"supportedInterfaces": {}},
            }
        },
        "request": request,
    }


def lex_dialog(
    invocation_source: str = "DialogCodeHook",
    bot: str = "Orders",
    intent: str = "Orders",
    slot: str = "Article",
    value: str = "paint",
) -> Any:
    """DialogCodeHook or FulfillmentCodeHook of a bot, version 1."""
    return {
        "messageVersion": "1.0",
        "invocationSource": invocation_source,
        "userId": "John",
        "sessionAttributes": {},
        "bot": {"name": bot, "alias": "$LATEST", "version": "$LATEST"},
        "outputDialogMode": "Text",
        "currentIntent": {
            "name": intent,
            "slots": {slot: value},
            "confirmationStatus": "None",
        },
    }


def lex_v2_dialog(
    invocation_source: str = "DialogCodeHook",
    bot: str = "Orders",
    intent: str = "Orders",
    input_transcript: str = "I need paint",
    locale_id: str = "en_US",
) -> Any:
    """DialogCodeHook or FulfillmentCodeHook of a bot, version 2."""
    is_ready = invocation_source == "FulfillmentCodeHook"
    found = {
        "name": intent,
        "slots": {},
        "state": "ReadyForFulfillment" if is_ready else "InProgress",
        "confirmationState": "None",
    }
    return {
        "messageVersion": "1.0",
        "invocationSource": invocation_source,
        "inputMode": "Text",
        "responseContentType": "text/plain; charset=utf-8",
        "sessionId": "12345678",
        "inputTranscript": input_transcript,
        "bot": {
            "id": "ABCDEFGHIJ",
            "name": bot,
            "aliasId": "TSTALIASID",
            "localeId": locale_id,
            "version": "DRAFT",
        },
        "interpretations": [{"intent": found, "nluConfidence": 1}],
        "sessionState": {"intent": found, "sessionAttributes": {}, "originatingRequestId": ID},
    }
