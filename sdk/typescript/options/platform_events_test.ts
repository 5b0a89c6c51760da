// Platform events from a scope like a browser's.
import assert from "node:assert/strict";
import { browserEvents, offlineWait } from "./options.ts";

function page() {
  const window = new EventTarget();
  const navigator = { onLine: true };
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const scope = {
    navigator,
    document,
    addEventListener: window.addEventListener.bind(window),
    removeEventListener: window.removeEventListener.bind(window),
  };
  return { window, navigator, document, scope };
}

Deno.test("a page reports a network and visibility until it is stopped", () => {
  const { window, navigator, document, scope } = page();
  const events = browserEvents(scope);
  assert.ok(events !== undefined);
  const received: string[] = [];
  const stop = events.listen((event) => received.push(event));
  const look = (visibilityState: string) => {
    document.visibilityState = visibilityState;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  look("hidden");
  navigator.onLine = false;
  assert.equal(events.online, false);
  window.dispatchEvent(new Event("offline"));
  navigator.onLine = true;
  window.dispatchEvent(new Event("online"));
  look("visible");
  assert.deepEqual(received, ["online", "visible"]);
  stop();
  window.dispatchEvent(new Event("online"));
  look("visible");
  assert.deepEqual([received.length, events.online], [2, true]);
});

Deno.test("a worker has no visibility, and Deno and Node have no events", () => {
  const { window, scope } = page();
  const { document: _, ...worker } = scope;
  const received: string[] = [];
  browserEvents(worker)?.listen((event) => received.push(event));
  window.dispatchEvent(new Event("online"));
  assert.deepEqual(received, ["online"]);
  assert.equal(browserEvents({ ...scope, navigator: {} }), undefined);
  assert.equal(browserEvents({ navigator: { onLine: true } }), undefined);
  assert.equal(browserEvents(), undefined);
});

Deno.test("without a network an attempt is put off, up to 30 s in all", () => {
  const events = (online: boolean) => ({ online, listen: () => () => {} });
  assert.equal(offlineWait(undefined, 0), 0);
  assert.equal(offlineWait(events(true), 0), 0);
  assert.equal(offlineWait(events(false), 250), 29_750);
  assert.equal(offlineWait(events(false), 600_000), 0);
});
