/** Errors of the runtime's own, and how any error reads: in a reply, in a log line. */

import util from "node:util";

function named(name) {
  const type = class extends Error {};
  type.prototype.name = `Runtime.${name}`;
  return type;
}

export const ImportModuleError = named("ImportModuleError");
export const HandlerNotFound = named("HandlerNotFound");
export const MalformedHandlerName = named("MalformedHandlerName");
export const UserCodeSyntaxError = named("UserCodeSyntaxError");
export const MalformedStreamingHandler = named("MalformedStreamingHandler");
export const InvalidStreamingOperation = named("InvalidStreamingOperation");
export const CallbackHandlerDeprecated = named("CallbackHandlerDeprecated");

export class UnhandledPromiseRejection extends named("UnhandledPromiseRejection") {
  constructor(reason, promise) {
    super(reason);
    this.reason = reason;
    this.promise = promise;
  }
}

const UNREADABLE = {
  errorType: "handled",
  errorMessage:
    "callback called with Error argument, but there was a problem while retrieving one or more " +
    "of its message, name, and stack",
};

/** The error document of a reply; `\x7f` would end up in a header and is not allowed there. */
export function asDocument(error) {
  try {
    if (util.types.isNativeError(error) || isLikeError(error)) {
      return {
        errorType: clean(error.name),
        errorMessage: clean(error.message),
        trace: clean(error.stack).split("\n"),
      };
    }
    return { errorType: typeof error, errorMessage: error.toString(), trace: [] };
  } catch {
    return UNREADABLE;
  }
}

/** The part of a log line that tells of an error: JSON behind a tab. */
export function asLogText(error) {
  try {
    return `\t${JSON.stringify(error, (_name, value) => withHiddenMembers(value))}`;
  } catch {
    return `\t${JSON.stringify(asDocument(error))}`;
  }
}

function isLikeError(value) {
  const texts = [value?.name, value?.message, value?.stack];
  return texts.every((text) => typeof text === "string" && text);
}

function clean(text) {
  return text?.replaceAll("\x7f", "%7F");
}

function withHiddenMembers(value) {
  if (!(value instanceof Error)) return value;
  const { name: errorType, message: errorMessage, code, stack } = value;
  const shown = { errorType, errorMessage, code, ...value };
  if (typeof stack === "string") shown.stack = stack.split("\n");
  return shown;
}
