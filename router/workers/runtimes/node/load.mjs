/** From a handler string to the function: `folder/file.export`, `file.nested.export`. */

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import {
  HandlerNotFound,
  ImportModuleError,
  MalformedHandlerName,
  MalformedStreamingHandler,
  UserCodeSyntaxError,
} from "./errors.mjs";
import { isModern } from "./version.mjs";

export const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
export const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

const require = createRequire(new URL("index.mjs", import.meta.url));

/** The handler. Throws the runtime's errors, and whatever the module throws itself. */
export async function load(root, handlerString) {
  if (handlerString.includes("..")) {
    throw new MalformedHandlerName(
      `'${handlerString}' is not a valid handler name. Use absolute paths when specifying root ` +
        "directories in handler names.",
    );
  }
  const file = path.basename(handlerString);
  const folder = handlerString.slice(0, handlerString.indexOf(file));
  const dot = file.indexOf(".");
  if (dot < 0) throw new MalformedHandlerName("Bad handler");
  const module = await loadModule(root, folder, file.slice(0, dot));
  const handler = memberOf(module, file.slice(dot + 1));
  if (!handler) throw new HandlerNotFound(`${handlerString} is undefined or not exported`);
  if (typeof handler !== "function") {
    throw new HandlerNotFound(`${handlerString} is not a function`);
  }
  return handler;
}

/** Whether the handler writes a stream, and how much of it may wait in memory. */
export function metadataOf(handler) {
  const mode = handler[STREAMING];
  const isStreaming = mode !== undefined && mode !== null && mode !== false;
  if (isStreaming && mode !== "response") {
    throw new MalformedStreamingHandler("Only response streaming is supported.");
  }
  const mark = Number.parseInt(handler[HIGH_WATER_MARK], 10);
  return { isStreaming, highWaterMark: Number.isNaN(mark) ? undefined : mark };
}

async function loadModule(root, folder, name) {
  try {
    const file = path.resolve(root, folder, name);
    const found = (await loadFile(file)) ?? undefined;
    if (found) return found;
    return require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserCodeSyntaxError(error);
    if (error?.code === "MODULE_NOT_FOUND") throw new ImportModuleError(error);
    throw error;
  }
}

async function loadFile(file) {
  const required = (suffix) => (fs.existsSync(file + suffix) ? require(file + suffix) : undefined);
  const imported = async (suffix) =>
    fs.existsSync(file + suffix) ? await import(pathToFileURL(file + suffix)) : undefined;
  const bare = required("");
  if (bare) return bare;
  const script = isModulePackage(file) ? await imported(".js") : required(".js");
  return script || (await imported(".mjs")) || required(".cjs");
}

/** Whether `.js` means an ES module there, as the nearest package.json says. */
function isModulePackage(file) {
  if (!fs.existsSync(`${file}.js`)) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    if (folder.endsWith("/node_modules")) return false;
    const description = path.join(folder, "package.json");
    if (fs.existsSync(description)) {
      try {
        return JSON.parse(fs.readFileSync(description, "utf8"))?.type === "module";
      } catch (error) {
        console.warn(`${description} cannot be read and says nothing about modules.`, error);
        return false;
      }
    }
    if (folder === "/") return false;
  }
}

function memberOf(module, names) {
  const find = (from) => names.split(".").reduce((inner, name) => inner && inner[name], from);
  const found = find(module);
  return found || !isModern() ? found : find(module?.default);
}
