/**
 * Questions to a process that change how it runs, the same for Shields and Brains: drain it, read and
 * set the levels of its logs. An admin's token has been checked by the Shield that asks; who else may
 * ask is a matter of permissions on NATS.
 */
import { z } from "zod";
import type { AnswerHandlers } from "./cluster_answerer.ts";
import type { Logger } from "./log.ts";
import type { Logging } from "./logging.ts";

const NAMES_MAX = 256;
const Name = z.string().min(1).max(64);
/** Levels of a log, the least severe first. */
export const Level = z.enum(["debug", "info", "warn", "error"]);

/** The levels of one process, as it tells them. */
export const NodeLevels = z.strictObject({
  level: Level,
  /** Components with a level of their own. */
  levels: z.record(Name, Level),
  components: z.array(Name).max(NAMES_MAX),
  /** Whether it has the component that was to be set. */
  known: z.boolean().optional(),
});

/** What sets a level; null takes the component's own level away. */
export const LevelChange = z.strictObject({ component: Name, level: Level.nullable() });

const By = z.string().max(256);
const SetLog = LevelChange.extend({ by: By });
const Drain = z.strictObject({ by: By });

/** What a process can be told. */
export interface ControlOptions {
  readonly log: Logger;
  /** Absent: its levels stay as they are. */
  readonly logging?: Pick<Logging, "levels" | "setLevel"> | undefined;
  /** Does what SIGTERM does; absent: it cannot be drained from outside. */
  readonly onDrain?: ((by: string) => void) | undefined;
}

/** Whether the drain has begun: the answer to `drain`. */
export const Draining = z.strictObject({ draining: z.boolean() });

/** The handlers of the questions `drain`, `log` and `set_log`. */
export function controlAnswers({ log, logging, onDrain }: ControlOptions): AnswerHandlers {
  const shown = () => {
    const { level, levels, components } = logging?.levels() ??
      { level: "info" as const, levels: {}, components: [] };
    return { level, levels, components: components.slice(0, NAMES_MAX) };
  };
  return {
    drain(params) {
      const { by } = Drain.parse(params);
      if (onDrain === undefined) return { draining: false };
      log.info("an operator drains this process", { by });
      // The answer is out first.
      setTimeout(() => onDrain(by), 0);
      return { draining: true };
    },
    log: shown,
    set_log(params) {
      const { component, level, by } = SetLog.parse(params);
      const to = level ?? "the default";
      // Before, for it may be this very log that is to write less.
      if (logging?.levels().components.includes(component) === true) {
        log.info("an operator sets the level of a log", { target: component, to, by });
      }
      const known = logging?.setLevel(component, level ?? undefined) ?? false;
      return { ...shown(), known };
    },
  };
}
