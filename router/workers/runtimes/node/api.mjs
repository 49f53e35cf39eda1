/**
 * The client of the Runtime API (2018-06-01): one connection that is kept open, and another for an
 * error that comes while a streamed response occupies it.
 */

import http from "node:http";

import { asDocument } from "./errors.mjs";

const BASE = "/2018-06-01/runtime";
const HEADER_BYTES_MAX = 1024 * 1024;
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";
const JSON_TYPE = "application/json";

/** Thrown instead of what `JSON.stringify` says of a result that is no JSON. */
const NOT_JSON = "Unable to stringify response body";

export function asJson(value) {
  try {
    return JSON.stringify(value === undefined ? null : value) ?? "";
  } catch {
    throw new Error(NOT_JSON);
  }
}

export class RuntimeApi {
  constructor(address) {
    const [hostname, port] = address.split(":");
    const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
    this.to = { hostname, port, agent, maxHeaderSize: HEADER_BYTES_MAX };
  }

  /** Wait for an event: `{headers, body}`. Rejects when the Runtime API is gone. */
  async next() {
    const reply = await this.#call("GET", "/invocation/next", {}, null);
    if (reply.status !== 200) throw new Error(`next: ${reply.status}`);
    return reply;
  }

  /** `text` is JSON. What is too large counts as answered: the caller is told by the other side. */
  async postResponse(id, text) {
    await this.#post(`/invocation/${encodeURIComponent(id)}/response`, text, {});
  }

  /** Without the type as a header, as the official client: it is in the document. */
  async postError(id, error) {
    const document = JSON.stringify(asDocument(error));
    await this.#post(`/invocation/${encodeURIComponent(id)}/error`, document, {});
  }

  async postInitError(error) {
    const document = asDocument(error);
    const headers = { [ERROR_TYPE]: headerText(document.errorType) };
    await this.#post("/init/error", JSON.stringify(document), headers);
  }

  /** A chunked request for a streamed response, open until it is ended; `onReply` follows then. */
  openResponse(id, onReply, onError) {
    const path = `${BASE}/invocation/${encodeURIComponent(id)}/response`;
    const headers = {
      "Content-Type": "application/octet-stream",
      "Lambda-Runtime-Function-Response-Mode": "streaming",
      "Transfer-Encoding": "chunked",
      Trailer: `${ERROR_TYPE}, ${ERROR_BODY}`,
    };
    const request = http.request({ ...this.to, method: "POST", path, headers }, (response) => {
      response.on("end", onReply).on("error", onError).resume();
    });
    return request.on("error", onError);
  }

  /** End a streamed response with an error that came in the middle. */
  static endWithError(request, error) {
    const document = asDocument(error);
    const body = Buffer.from(JSON.stringify(document)).toString("base64");
    request.addTrailers({ [ERROR_TYPE]: headerText(document.errorType), [ERROR_BODY]: body });
    request.end();
  }

  async #post(path, text, headers) {
    const body = Buffer.from(text, "utf8");
    const all = { "Content-Type": JSON_TYPE, "Content-Length": body.length, ...headers };
    await this.#call("POST", path, all, body);
  }

  #call(method, path, headers, body) {
    return new Promise((resolve, reject) => {
      const options = { ...this.to, method, path: BASE + path, headers };
      const request = http.request(options, (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const { statusCode: status, headers } = response;
          resolve({ status, headers, body: Buffer.concat(chunks) });
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  }
}

/** A class may have any name; a header may not. */
function headerText(text) {
  return String(text).replace(/[^\x20-\x7e]/g, "?");
}
