/** The moment at which nothing is left to do: Node's `beforeExit`, as one hook that can be set. */

let hook = null;

/** Call `action` once when the event loop runs empty; null lets the process end there. */
export function set(action) {
  hook = action;
}

export function reached() {
  const action = hook;
  hook = null;
  action?.();
}
