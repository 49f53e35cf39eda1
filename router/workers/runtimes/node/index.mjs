/**
 * The Node.js runtime: what a managed `nodejs*` function runs in, over the Runtime API.
 *
 *     node index.mjs HANDLER        started in the task folder, AWS_LAMBDA_RUNTIME_API set
 *
 * Node's own modules only, so nothing of ours shadows what the function brings. Exit codes: 129
 * after an uncaught exception or a failed start, 128 after an unhandled rejection, 1 when the
 * Runtime API is gone.
 */

import { RuntimeApi } from "./api.mjs";
import { runBuffered } from "./buffered.mjs";
import { contextOf } from "./context.mjs";
import { CallbackHandlerDeprecated, UnhandledPromiseRejection } from "./errors.mjs";
import * as idle from "./idle.mjs";
import { load, metadataOf } from "./load.mjs";
import { logError, patchConsole, setCurrent } from "./logs.mjs";
import { installGlobals, runStreaming } from "./streaming.mjs";
import { isModern } from "./version.mjs";

const EXIT_UNCAUGHT = 129;
const EXIT_UNHANDLED = 128;
const EXIT_ALONE = 1;

const NO_CALLBACKS =
  "ERROR: AWS Lambda has removed support for callback-based function handlers starting with " +
  "Node.js 24. You need to modify this function to use a supported handler signature to use " +
  "Node.js 24 or later. For more information see " +
  "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.";

const api = new RuntimeApi(process.env.AWS_LAMBDA_RUNTIME_API);

/** How an error that nobody caught is reported: the start's, or the running invocation's. */
let report = (error) => api.postInitError(error);
let isEnding = false;

async function end(title, error, status) {
  if (isEnding) return;
  isEnding = true;
  logError(title, error);
  try {
    await report(error);
  } catch {
    // The Runtime API is gone or has an answer already: the exit says the rest.
  }
  process.exit(status);
}

function watchForErrors() {
  process.on("uncaughtException", (error) => end("Uncaught Exception", error, EXIT_UNCAUGHT));
  process.on("unhandledRejection", (reason, promise) => {
    const error = new UnhandledPromiseRejection(reason, promise);
    end("Unhandled Promise Rejection", error, EXIT_UNHANDLED);
  });
  process.on("beforeExit", idle.reached);
}

async function start() {
  const handler = await load(process.cwd(), process.argv[2] ?? process.env._HANDLER ?? "");
  const metadata = metadataOf(handler);
  if (isModern() && !metadata.isStreaming && handler.length >= 3) {
    throw new CallbackHandlerDeprecated(NO_CALLBACKS);
  }
  return { handler, metadata };
}

async function next() {
  try {
    return await api.next();
  } catch {
    return process.exit(EXIT_ALONE);
  }
}

async function serve({ handler, metadata }) {
  const run = metadata.isStreaming ? runStreaming : runBuffered;
  for (;;) {
    report = async () => {}; // between invocations there is nobody to tell
    const { headers, body } = await next();
    const id = headers["lambda-runtime-aws-request-id"];
    setCurrent(id, headers["lambda-runtime-aws-tenant-id"]);
    report = (error) => api.postError(id, error);
    const parse = () => [JSON.parse(body.toString("utf8")), contextOf(headers)];
    await run({ api, id, handler, metadata, parse });
  }
}

patchConsole();
watchForErrors();
installGlobals();
start().then(serve).catch((error) => end("Uncaught Exception", error, EXIT_UNCAUGHT));
