// Keeps an open page up to date: the server sends the parts that changed, as it made them.
"use strict";

(() => {
  const HOVER_MS = 2000; // rows keep their places for as long after the pointer moved over them
  const live = document.getElementById("live");
  const address = document.body.dataset.address;
  let source = null;
  let touched = -HOVER_MS;

  const say = (words, tone) => {
    if (live.textContent !== words) live.textContent = words;
    live.className = tone;
  };

  const made = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  };

  // Of a row only the cells that changed: a link that has the focus, or a selected text, stays.
  const change = (old, html) => {
    const fresh = made(html);
    if (!fresh || old.outerHTML === fresh.outerHTML) return;
    const isRow = old.localName === "tr" && old.children.length === fresh.children.length;
    if (!isRow) {
      old.replaceWith(fresh);
      return;
    }
    old.className = fresh.className;
    [...fresh.children].forEach((cell, at) => {
      if (old.children[at].outerHTML !== cell.outerHTML) old.children[at].replaceWith(cell);
    });
  };

  const order = (list, ids, blocks) => {
    const kept = new Set(ids);
    for (const child of [...list.children]) {
      if (!kept.has(child.id)) child.remove();
    }
    const isHeld = performance.now() - touched < HOVER_MS && list.matches(":hover");
    let place = list.firstElementChild;
    for (const id of ids) {
      let child = document.getElementById(id);
      if (!child && blocks[id]) child = made(blocks[id]);
      if (!child) continue;
      if (child === place) place = place.nextElementSibling;
      else if (!isHeld || child.parentNode !== list) list.insertBefore(child, place);
    }
    return isHeld;
  };

  const orders = new Map(); // what could not be brought into order yet

  const show = ({ blocks, lists }) => {
    const focused = document.activeElement;
    const href = focused && focused.getAttribute("href");
    const row = focused && focused.closest("[id]");
    for (const [id, html] of Object.entries(blocks)) {
      const old = document.getElementById(id);
      if (old) change(old, html);
    }
    for (const [id, ids] of Object.entries(lists)) orders.set(id, ids);
    for (const [id, ids] of [...orders]) {
      const list = document.getElementById(id);
      if (!list || !order(list, ids, blocks)) orders.delete(id);
    }
    if (focused && focused !== document.body && document.activeElement !== focused) {
      const again = focused.isConnected
        ? focused
        : row && document.getElementById(row.id)?.querySelector(`a[href="${CSS.escape(href || "")}"]`);
      if (again) again.focus({ preventScroll: true });
    }
  };

  const begin = () => {
    if (source) return;
    source = new EventSource(`/events?of=${encodeURIComponent(address)}`);
    source.onmessage = (event) => {
      show(JSON.parse(event.data));
      say("live", "is-live");
    };
    source.addEventListener("gone", () => {
      end();
      say("gone since", "is-late");
    });
    source.onerror = () => {
      say(source && source.readyState === EventSource.CLOSED ? "not live, as of" : "waiting since", "is-late");
    };
  };

  const end = () => {
    if (source) source.close();
    source = null;
  };

  document.addEventListener("pointermove", () => (touched = performance.now()), { passive: true });
  document.addEventListener("visibilitychange", () => (document.hidden ? end() : begin()));
  window.addEventListener("pagehide", end);
  window.addEventListener("pageshow", begin);
  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("q");
    if (event.key === "/" && field && document.activeElement !== field && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      field.focus();
    }
  });
})();
