// Polls `GET /v1/cluster` while the page is visible and not paused, and keeps the last minutes for every
// view. When it starts or resumes, it loads the missing minutes from the processes' own memory.
import { readingsOf } from "./past.js";
import { createHistory } from "./rates.js";

const EVERY_MS = 2_000;
/** The time that the charts show. */
export const SPAN_MS = 300_000;
const POINTS_MAX = 400;

/** `listen(listener)` calls it with `{cluster, error}` after each reading; it returns a function that stops it. */
export function createFeed({ api, now, isVisible }) {
  const history = createHistory({ span_ms: SPAN_MS, points_max: POINTS_MAX });
  const listeners = new Set();
  let latest = { cluster: undefined, error: undefined };
  let is_paused = false;
  let is_closed = false;
  /** The minutes before the next reading have to be loaded. */
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
    /** Call it when the page becomes visible or hidden; it also starts the feed. */
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
