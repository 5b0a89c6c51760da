/** The context of the parts of streams. Types only. */
import type { IngressContext } from "../rates/http_rates.ts";
import type { Env } from "../../shared/env.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { BanCheck } from "../auth/bans.ts";
import type { Identity } from "../auth/identity.ts";
import type { TokenCheck } from "../auth/revocations.ts";
import type { NoteRead, ReadMeter } from "../message/logs.ts";
import type { MessagePath } from "../message/pipeline.ts";
import type { AppendMemory } from "./append_memory.ts";
import type { Ends } from "./lifecycle.ts";
import type { Population } from "./population.ts";
import type { Reads } from "./read.ts";
import type { StreamWakes } from "./wakes.ts";
import type { Policies } from "../message/gates.ts";

/** The process as streams see it; there is one for each process. */
export interface StreamContext
  extends IngressContext, Reads, Ends, TokenCheck, Pick<Env, "monotonic_ms"> {
  readonly turns: StreamTurns;
  readonly wakes: StreamWakes;
  readonly appends: AppendMemory;
  readonly population: Population;
  readonly path: MessagePath;
  readonly overseer: Pick<Policies, "onSubscribe">;
  readonly bans: BanCheck;
  readonly limits: Config["limits"];
  /** How long a long-poll waits, in ms; an event stream gets a keep-alive at this interval. */
  readonly long_poll_ms: number;
  /** How long an event stream lasts, in ms. */
  readonly sse_ms: number;
  /** Counts an event stream until it is disposed of. Throws when the user has too many. */
  readonly enterLive: (identity: Identity) => Disposable;
  readonly isDraining: () => boolean;
  /** In [0, 1). */
  readonly random: () => number;
  /** Records what users read; absent: not recorded. */
  readonly noteRead?: NoteRead | undefined;
  /** Counts what they read, and may refuse; absent: not counted. */
  readonly reads?: ReadMeter | undefined;
}

/** The queues of all streams; an idle stream takes no memory. */
export class StreamTurns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` after all earlier work under this name has ended. */
  async run<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(name) === mine) this.#last.delete(name);
    }
  }
}
