/**
 * The rows of the Grafana dashboard "ArqonBus Overview" about hooks and about rooms as programs.
 * `dashboard_rows.ts` has the others.
 */
import { panel, rate, type RowSpec } from "./dashboard_panel.ts";

const asked = (q: number): string =>
  `histogram_quantile(${q}, ${rate("shield_hook_asked_seconds_bucket", "le")})`;

/** Of buses that have none, it is empty. */
export const HOOKS_ROW: RowSpec = {
  title: "Hooks",
  panels: [
    panel("Calls of hooks", "cps", "What is told after the fact, by hook and outcome.", [
      [rate("brain_hook_calls_total", "hook, outcome"), "{{hook}} {{outcome}}"],
    ]),
    panel("Rooms that wait for a hook", "short", "It was called in vain, and will be again.", [
      ["sum by (hook) (brain_hook_rooms_waiting{@})", "{{hook}}"],
    ]),
    panel("Events given up", "cps", "Dead letters, and how often a loss was told.", [
      [rate("brain_hook_dead_letters_total", "hook"), "{{hook}} dead letters"],
      [rate("brain_hook_lost_total", "hook"), "{{hook}} lost"],
    ]),
    panel("Questions to hooks", "cps", "What is asked before it happens, by hook and outcome.", [
      [rate("shield_hook_asked_total", "hook, outcome"), "{{hook}} {{outcome}}"],
    ]),
    panel("Answers of hooks", "s", "From a question to its answer, or to the end of its time.", [
      [asked(0.5), "p50"],
      [asked(0.99), "p99"],
    ]),
    panel("Births and ends of rooms", "cps", "Stored for hooks, and those that wait for it.", [
      [rate("brain_rooms_told_total", "event"), "{{event}}"],
      ["sum by (instance) (brain_rooms_untold{@})", "{{instance}} waiting"],
    ]),
  ],
};

/** Of buses without `[[reducers]]`, it is empty. */
export const REDUCERS_ROW: RowSpec = {
  title: "Rooms as programs",
  panels: [
    panel("Entries of rooms' logs", "cps", "Calls and timers, by outcome.", [
      [rate("brain_reducer_entries_total", "verdict"), "{{verdict}}"],
    ]),
    panel("Calls that wait", "short", "For their room's reducer; [brain] pending_commands.", [
      ["sum by (instance) (brain_reducer_waiting{@})", "{{instance}}"],
    ]),
    panel("Events of reducers", "cps", "Published by Brains.", [
      [rate("brain_reducer_events_total", "instance"), "{{instance}}"],
    ]),
    panel("States of rooms", "bytes", "In the Brains' memory; [brain] reducer_bytes.", [
      ["sum by (instance) (brain_reducer_state_bytes{@})", "{{instance}}"],
    ]),
    panel("Rooms with reducers", "short", "In the Brains' memory; [brain] reducer_rooms.", [
      ["sum by (instance) (brain_reducer_rooms{@})", "{{instance}}"],
    ]),
    panel("Trouble of reducers", "cps", "Failed loads and snapshots, refused calls, lost races.", [
      [rate("brain_reducer_loads_total", "outcome"), "loads {{outcome}}"],
      [rate("brain_reducer_snapshots_total", "outcome"), "snapshots {{outcome}}"],
      [rate("brain_reducer_refused_total", "instance"), "{{instance}} refused"],
      [rate("brain_reducer_conflicts_total", "instance"), "{{instance}} conflicts"],
      [rate("brain_reducer_thread_ends_total", "instance"), "{{instance}} thread ends"],
    ]),
  ],
};
