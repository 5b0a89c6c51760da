/**
 * Control questions to Shields and Brains: drain, read and set log levels, show and reload the configuration. The
 * asking Shield has checked an admin's token; permissions on NATS restrict other askers.
 */
import { z } from "zod";
import type { AnswerHandlers } from "./cluster_answerer.ts";
import type { ConfigReloading } from "../config/live/reload.ts";
import type { Env } from "../env.ts";
import type { Logging } from "../logs/logging.ts";

const NAMES_MAX = 256;
const Name = z.string().min(1).max(64);
/** Levels of a log, the least severe first. */
const Level = z.enum(["debug", "info", "warn", "error"]);

/** The log levels of one process. */
export const NodeLevels = z.strictObject({
  level: Level,
  levels: z.record(Name, Level),
  components: z.array(Name).max(NAMES_MAX),
  /** Whether the process has the component. */
  known: z.boolean().optional(),
});

/** A change of a level; null removes the component's own level. */
export const LevelChange = z.strictObject({ component: Name, level: Level.nullable() });

const By = z.string().max(256);
const Reload = z.strictObject({ by: By });
const SetLog = LevelChange.extend({ by: By });
const Drain = z.strictObject({ by: By });

const Keys = z.array(z.string().max(256)).max(1_024);
/** The configuration report of one process; `ConfigReport` describes the members. */
export const NodeConfig = z.strictObject({
  file: z.string().nullable(),
  loaded_ms: z.int(),
  changed: Keys,
  needs_restart: Keys,
  problem: z.string().nullable(),
  values: z.record(z.string().max(256), z.union([z.string(), z.number(), z.boolean()])),
});
/** The answer to `config` and `reload_config`; null: another component of the process answers. */
export const NodeConfigAnswer = NodeConfig.nullable();

/** The parts that control questions change. */
export interface ControlOptions extends Pick<Env, "log"> {
  /** The logs; absent: their levels cannot be changed. */
  readonly logging?: Pick<Logging, "levels" | "setLevel"> | undefined;
  /** Does the same as SIGTERM; absent: the process cannot be drained by a question. */
  readonly onDrain?: ((by: string) => void) | undefined;
  /** Absent: another component of the process has it. */
  readonly reloading?: Pick<ConfigReloading, "reload" | "report"> | undefined;
}

/** The answer to `drain`: whether the drain has begun. */
export const Draining = z.strictObject({ draining: z.boolean() });

/** The handlers of the questions `drain`, `log`, `set_log`, `config` and `reload_config`. */
export function controlAnswers(
  { log, logging, onDrain, reloading }: ControlOptions,
): AnswerHandlers {
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
      // After the answer was sent.
      setTimeout(() => onDrain(by), 0);
      return { draining: true };
    },
    log: shown,
    config: () => reloading?.report() ?? null,
    async reload_config(params) {
      const { by } = Reload.parse(params);
      return await reloading?.reload(by) ?? null;
    },
    set_log(params) {
      const { component, level, by } = SetLog.parse(params);
      const to = level ?? "the default";
      // Logged before the change, which may silence this very log.
      if (logging?.levels().components.includes(component) === true) {
        log.info("an operator sets the level of a log", { target: component, to, by });
      }
      const known = logging?.setLevel(component, level ?? undefined) ?? false;
      return { ...shown(), known };
    },
  };
}
