/**
 * An invocation whose result is sent whole.
 *
 * Up to Node.js 22 a handler may return a promise, call back, or use the context's `done`,
 * `succeed` and `fail`; the first of them counts. A callback's result is sent when the event loop
 * has run empty, unless `callbackWaitsForEmptyEventLoop` is false; a handler that answers in no
 * way at all has answered null by then. From Node.js 24 on only what the handler returns counts.
 */

import { asJson } from "./api.mjs";
import * as idle from "./idle.mjs";
import { logError } from "./logs.mjs";
import { isModern } from "./version.mjs";

export async function runBuffered({ api, id, handler, parse }) {
  const call = isModern() ? callModern : call22;
  let text;
  try {
    text = asJson(await call(handler, parse));
  } catch (error) {
    logError("Invoke Error", error);
    await api.postError(id, error);
    return;
  }
  await api.postResponse(id, text); // when that fails it is no error of the handler
}

async function callModern(handler, parse) {
  const [event, context] = parse();
  return await handler(event, context);
}

function call22(handler, parse) {
  return new Promise((resolve, reject) => {
    const [event, context] = parse();
    let waits = true;
    const settle = (error, result) => {
      idle.set(null);
      if (error === undefined || error === null) resolve(result);
      else reject(error);
    };
    let hasAnswered = false;
    const once = (answer) => (first, second) => {
      if (hasAnswered) return;
      hasAnswered = true;
      answer(first, second);
    };
    const callback = once((error, result) => {
      if (waits && (error === undefined || error === null)) idle.set(() => resolve(result));
      else settle(error, result);
    });
    Object.defineProperty(context, "callbackWaitsForEmptyEventLoop", {
      get: () => waits,
      set: (value) => (waits = value),
      enumerable: true,
    });
    context.done = once(settle);
    context.succeed = once((result) => settle(null, result));
    context.fail = once((error) => settle(error ?? "handled"));
    idle.set(() => {
      hasAnswered = true;
      resolve(null);
    });
    let returned;
    try {
      returned = handler(event, context, callback);
    } catch (error) {
      callback(error);
      return;
    }
    if (typeof returned?.then === "function") returned.then(context.succeed, context.fail);
  });
}
