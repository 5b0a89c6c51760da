/**
 * Puts the growing messages of one Shield together. Of all their commands a few are answered in one turn: a producer
 * may send a thousand at once, and where the Spine answers at once nothing else would come between them.
 */
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { leftMs } from "../../shared/watchdog/left_work.ts";
import { Turns } from "../../shared/turns/turns.ts";
import type { Logs } from "../message/logs.ts";
import type { Caller } from "../message/caller.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { answerGrowing } from "./growing.ts";
import type { OwnCommands } from "../message/command.ts";
import { isGrowingCommand } from "./requests.ts";
import { GrowingRecords } from "./records.ts";
import { growingStats } from "./stats.ts";
import { GrowingSweep } from "./sweep.ts";
import type { Policies } from "../message/gates.ts";

/** Commands that are answered in one turn. */
const TURN_COMMANDS = 16;

/** What growing messages need of the process. */
export interface GrowingStart extends Pick<Env, "spine" | "registry" | "log"> {
  readonly config: Pick<Config, "limits" | "growing" | "watchdog">;
}

/** The growing messages of one Shield. */
export interface StartedGrowing {
  /** Answers a command about them; rejects with the refusal. */
  answer(caller: Caller, envelope: ScannedEnvelope): Promise<Ack>;
  /** Answers those whose names are of growing messages. */
  readonly own: OwnCommands;
  /** Looks after no message any longer. */
  close(): Promise<void>;
}

/** Starts to look after them. No bucket is opened while no room is durable. */
export function startGrowing(
  { config, spine, registry, ...start }: GrowingStart,
  path: MessagePath,
  overseer: Pick<Policies, "onAppend">,
  logs: Logs,
  classes: Pick<RoomClasses, "list">,
): StartedGrowing {
  const context = {
    ...{ path, overseer, logs, limits: config.limits },
    logTime: (tenant_id: string) => logs.of(tenant_id).then((log) => log.now(), path.now),
    records: new GrowingRecords(spine),
    stats: growingStats(registry),
    bounds: () => config.growing,
  };
  const isNeeded = () => classes.list().some(({ durable }) => durable);
  const log = start.log.child({ part: "growing" });
  const sweep = new GrowingSweep(context, { log, isNeeded, left_ms: leftMs(config) });
  const turns = new Turns(TURN_COMMANDS);
  const answer: StartedGrowing["answer"] = async (caller, envelope) => {
    await turns.later();
    return await answerGrowing(context, caller, envelope);
  };
  return {
    answer,
    own: (name) => isGrowingCommand(name) ? answer : undefined,
    close: () => sweep.close(),
  };
}
