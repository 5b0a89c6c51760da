/**
 * Admins' requests about the past of rooms with reducers: each request runs once, few at a time. `room/` has the
 * answers; `service.ts` knows the rooms.
 */
import { ArqonError } from "@arqon/proto";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import type { RunnableProgram } from "./log/program.ts";
import type { ReducerMetrics } from "./metrics.ts";
import type { ReducedPlace, RoomParts } from "./room/loaded_room.ts";
import { forkRoom } from "./room/fork.ts";
import type { HistoryLimits } from "./room/points.ts";
import { repairRoom } from "./room/repair.ts";
import { showPast } from "./room/showing_past.ts";
import { trimRoom } from "./room/trim.ts";
import type { Shown } from "./visible/shown.ts";

/** Requests that run at a time: each may apply thousands of entries. */
const ASKED_MAX = 4;
const RETRY_MS = 1_000;

interface Place {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** The configured program of a room. */
interface Named {
  readonly program: Pick<RunnableProgram, "id">;
  readonly history: HistoryLimits;
  readonly log_room_id: string;
  readonly shown: Shown;
}

interface ReducerPastOptions {
  readonly parts: RoomParts;
  readonly metrics: ReducerMetrics;
  /** Throws `invalid-command` for a room without a reducer. */
  readonly namedFor: (at: Place) => Named;
  /** Throws `room-limit` if the tenant has too many rooms. */
  readonly requireFew: (at: Place) => void;
  /** Forks of a room without a snapshot of their own. */
  readonly forksOf: (at: Place) => readonly string[];
  /** Runs a job while the room is closed here. */
  readonly alone: <T>(at: Place, job: () => Promise<T>) => Promise<T>;
  readonly wake: (at: Place) => void;
}

/** Answers admins about the past of rooms; each request runs once, few at a time. */
export class ReducerPast {
  readonly #options: ReducerPastOptions;
  #requests = 0;

  constructor(options: ReducerPastOptions) {
    this.#options = options;
  }

  /** The answer as JSON. Rejects with the refusal. */
  async answer(at: Place, ask: PastAsk): Promise<string> {
    if (this.#requests === ASKED_MAX) {
      this.#options.metrics.refused.inc();
      const detail = `${ASKED_MAX} questions about the past of rooms are being answered`;
      throw new ArqonError("too-many-pending", detail, { retry_after_ms: RETRY_MS });
    }
    const { parts: { fuel }, metrics } = this.#options;
    const wait_ms = fuel.wait(at.tenant_id);
    if (wait_ms > 0) {
      metrics.refused.inc();
      throw fuel.refusal(wait_ms);
    }
    this.#requests++;
    try {
      return JSON.stringify(await this.#answer(at, ask));
    } finally {
      this.#requests--;
    }
  }

  async #answer(at: Place, ask: PastAsk): Promise<object> {
    const { parts, namedFor, requireFew, alone, wake } = this.#options;
    const { log_room_id, history: limits, program, shown } = namedFor(at);
    const place: ReducedPlace = { ...at, log_room_id };
    switch (ask.action) {
      case "show":
        return showPast(place, ask, parts);
      case "fork": {
        const other = { tenant_id: at.tenant_id, room_id: ask.source };
        const source = namedFor(other);
        if (source.program.id !== program.id) {
          const detail = `${at.room_id} and ${ask.source} have different reducers`;
          throw new ArqonError("invalid-command", detail);
        }
        requireFew(at);
        const from = { ...other, log_room_id: source.log_room_id };
        const fork = await alone(at, () => forkRoom(place, from, ask, parts));
        // The fork gets its own snapshot then, before the other room may lose its start.
        wake(at);
        return fork;
      }
      case "trim": {
        const [fork] = this.#options.forksOf(at);
        if (fork !== undefined) {
          const detail = `${fork} began with the past of ${at.room_id} and has no snapshot yet`;
          throw new ArqonError("invalid-command", `${detail}: it has one soon after it began`);
        }
        const own = { limits, program: program.id, shown };
        return alone(at, () => trimRoom(place, ask.before, parts, own));
      }
      case "repair":
        return alone(at, () => repairRoom(place, parts, { limits, shown }));
      default:
        return ask satisfies never;
    }
  }
}
