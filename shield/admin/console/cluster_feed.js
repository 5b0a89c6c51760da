// Reads `GET /v1/cluster` again and again while somebody looks, and keeps the last minutes of it for
// every view. It pauses while the page is hidden or paused. Whenever it begins, the minutes before
// come from the memory of the processes themselves.
import { readingsOf } from "./past.js";
import { createHistory } from "./rates.js";

const EVERY_MS = 2_000;
/** What the charts show. */
export const SPAN_MS = 300_000;
const POINTS_MAX = 400;

/** `listen(listener)` receives `{cluster, point, error}` after each reading; it returns how to stop. */
export function createFeed({ api, now, isVisible }) {
  const history = createHistory({ span_ms: SPAN_MS, points_max: POINTS_MAX });
  const listeners = new Set();
  let latest = { cluster: undefined, error: undefined };
  let is_paused = false;
  let is_closed = false;
  /** The minutes before the next reading are not known here. */
  let is_behind = true;
  let timer;
  let reading;

  const mayRead = () => !is_closed && !is_paused && isVisible();

  async function catchUp(signal) {
    const past = await api.get("/v1/cluster/history", {}, signal);
    const now_ms = now();
    history.restore(readingsOf(past, now_ms, SPAN_MS), now_ms);
    is_behind = false;
  }

  async function read() {
    const mine = reading = new AbortController();
    try {
      if (is_behind) await catchUp(mine.signal);
      const cluster = await api.get("/v1/cluster", {}, mine.signal);
      history.add(cluster.nodes, now());
      latest = { cluster, error: undefined };
    } catch (error) {
      if (mine.signal.aborted) return;
      breakOff();
      latest = { ...latest, error };
    }
    for (const listener of listeners) listener(latest);
    schedule(EVERY_MS);
  }

  function breakOff() {
    history.gap(now());
    is_behind = true;
  }

  function schedule(after_ms) {
    clearTimeout(timer);
    if (mayRead()) timer = setTimeout(read, after_ms);
  }

  function stop() {
    clearTimeout(timer);
    reading?.abort();
    breakOff();
  }

  return {
    history,
    latest: () => latest,
    isPaused: () => is_paused,
    listen(listener) {
      listeners.add(listener);
      if (latest.cluster !== undefined || latest.error !== undefined) listener(latest);
      return () => listeners.delete(listener);
    },
    pause(wanted) {
      is_paused = wanted;
      if (wanted) stop();
      else schedule(0);
    },
    /** Call it when the page has become visible or hidden; also starts the feed. */
    look() {
      if (mayRead()) schedule(0);
      else stop();
    },
    close() {
      is_closed = true;
      stop();
      listeners.clear();
    },
  };
}
