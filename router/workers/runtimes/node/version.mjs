/** Which Node.js the function asks for, whatever runs it. */

const MODERN_FROM = 24;

/** Whether it is one without callbacks: from Node.js 24 on only what a handler returns counts. */
export function isModern() {
  const match = /nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? "");
  return match !== null && Number(match[1]) >= MODERN_FROM;
}
