/** An invocation whose result is sent while it is made, and the `awslambda` global for it. */

import { Writable } from "node:stream";

import { RuntimeApi } from "./api.mjs";
import { InvalidStreamingOperation } from "./errors.mjs";
import * as idle from "./idle.mjs";
import { HIGH_WATER_MARK, STREAMING } from "./load.mjs";
import { logError } from "./logs.mjs";
import { isModern } from "./version.mjs";

const PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END = new Uint8Array(8);

/** The stream a handler writes to. What is no text and no bytes goes out as JSON. */
class ResponseStream extends Writable {
  #request;
  #hasBegun = false;
  #prelude = null;

  constructor(request, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#request = request;
  }

  write(chunk, ...rest) {
    const isPlain = typeof chunk === "string" || chunk instanceof Uint8Array;
    return super.write(isPlain ? chunk : JSON.stringify(chunk), ...rest);
  }

  end(chunk, ...rest) {
    if (chunk === undefined || chunk === null || typeof chunk === "function") {
      return super.end(chunk, ...rest);
    }
    const isPlain = typeof chunk === "string" || chunk instanceof Uint8Array;
    return super.end(isPlain ? chunk : JSON.stringify(chunk), ...rest);
  }

  setContentType(type) {
    if (this.#hasBegun) {
      throw new InvalidStreamingOperation("Cannot set content-type, too late.");
    }
    this.#request.setHeader("Content-Type", type);
  }

  /** Status, headers and cookies of an HTTP answer, sent before the first bytes. */
  setPrelude(prelude) {
    this.setContentType(PRELUDE_TYPE);
    this.#prelude = JSON.stringify(prelude);
  }

  /** End with an error, whatever the handler has written or goes on to write. */
  fail(error) {
    if (!this.#request.writableEnded) RuntimeApi.endWithError(this.#request, error);
  }

  _write(chunk, encoding, done) {
    if (this.#request.writableEnded) return done();
    this.#begin();
    this.#request.write(chunk, encoding, done);
  }

  _final(done) {
    if (this.#request.writableEnded) return done();
    this.#request.end(done);
  }

  _destroy(error, done) {
    done(error);
  }

  #begin() {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    if (this.#prelude === null) return;
    this.#request.write(this.#prelude);
    this.#request.write(PRELUDE_END);
  }
}

const HttpResponseStream = {
  from(stream, prelude) {
    stream.setPrelude(prelude);
    return stream;
  },
};

export function installGlobals() {
  if (["1", "true"].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    ...globalThis.awslambda,
    HttpResponseStream,
    streamifyResponse(handler, options) {
      handler[STREAMING] = "response";
      if (typeof options?.highWaterMark === "number") {
        handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      }
      return handler;
    },
  };
}

export async function runStreaming({ api, id, handler, metadata, parse }) {
  let request;
  const isAnswered = new Promise((resolve, reject) => {
    request = api.openResponse(id, resolve, reject);
  });
  isAnswered.catch(() => {}); // told below; a handler that never returns must not end the process
  const stream = new ResponseStream(request, metadata.highWaterMark);
  let mustWait = !isModern();
  try {
    const [event, context] = parse();
    if (mustWait) {
      Object.defineProperty(context, "callbackWaitsForEmptyEventLoop", {
        get: () => mustWait,
        set: (value) => (mustWait = value),
        enumerable: true,
      });
    }
    const returned = handler(event, stream, context);
    if (typeof returned?.then !== "function") {
      throw new Error("Streaming does not support non-async handlers.");
    }
    if ((await returned) !== undefined) console.warn("Streaming handlers ignore return values.");
    await isAnswered;
  } catch (error) {
    logError("Invoke Error", error);
    stream.fail(error);
    await isAnswered.catch(() => {});
  }
  if (mustWait) await new Promise((resolve) => idle.set(resolve));
}
