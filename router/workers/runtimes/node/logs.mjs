/**
 * `console` as Lambda's runtime has it: one line per call, with time, request id and level
 * (`functions-and-invocation.md` 8.7). Line ends inside a message become `\r`; the router turns
 * them back, so that a message stays one log event.
 */

import util from "node:util";

import { asLogText } from "./errors.mjs";

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

const REQUEST_ID = Symbol.for("aws.lambda.runtime.requestId");
const TENANT_ID = Symbol.for("aws.lambda.runtime.tenantId");

const isJson = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
const lowest = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase()));

/** The invocation that lines belong to from now on. */
export function setCurrent(requestId, tenantId) {
  globalThis[REQUEST_ID] = requestId;
  globalThis[TENANT_ID] = tenantId;
}

export function patchConsole() {
  for (const level of LEVELS) console[level.toLowerCase()] = writer(level);
  console.log = console.info;
}

/** Tell of an error that ends an invocation or the process. */
export function logError(title, error) {
  const cause = error instanceof Error ? error : new Error(error);
  if (isJson) console.error(cause);
  else console.error(title, asLogText(cause));
}

function writer(level) {
  const isAlways = level === "FATAL";
  if (LEVELS.indexOf(level) < lowest && !isAlways) return () => {};
  const form = isJson ? jsonLine : textLine;
  return (...parts) => {
    process.stdout.write(`${form(level, parts).replaceAll("\n", "\r")}\n`);
  };
}

function textLine(level, parts) {
  return [now(), String(globalThis[REQUEST_ID]), level, util.format(...parts)].join("\t");
}

function now() {
  return new Date().toISOString();
}

function jsonLine(level, parts) {
  const line = { timestamp: now(), level, requestId: globalThis[REQUEST_ID] };
  const tenantId = globalThis[TENANT_ID];
  if (tenantId !== undefined && tenantId !== null) line.tenantId = tenantId;
  if (parts.length === 1) {
    try {
      return JSON.stringify({ ...line, message: parts[0] }, (_name, value) => withError(value));
    } catch {
      return JSON.stringify({ ...line, message: util.format(parts[0]) }); // it refers to itself
    }
  }
  line.message = util.format(...parts);
  const error = parts.find((part) => part instanceof Error);
  return JSON.stringify(error === undefined ? line : { ...line, ...described(error) });
}

function withError(value) {
  return value instanceof Error ? { ...described(value), ...value } : value;
}

function described(error) {
  const { message: errorMessage, stack } = error;
  const stackTrace = typeof stack === "string" ? stack.split("\n") : [];
  return { errorType: error.constructor?.name ?? "UnknownError", errorMessage, stackTrace };
}
