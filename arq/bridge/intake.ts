/**
 * Takes what the log of a database has, in its order, and gives what was published there to the publisher. How the log
 * is read is `stream.ts` or `polling.ts`.
 */
import { committedOf } from "./committed.ts";
import { Progress } from "./progress.ts";
import type { Publisher } from "./publisher.ts";
import type { Standing } from "./standing.ts";
import { lsnText } from "./wal.ts";
import type { Lsn, WalChange } from "./wal.ts";

/** What an intake needs. */
export interface IntakeOptions {
  readonly standing: Standing;
  readonly publisher: Publisher;
  readonly say: (text: string) => void;
  /** So many messages wait for the bus now. */
  readonly onWaiting: (messages: number) => void;
}

/** What one reader of the log has brought. */
export class Intake {
  readonly progress: Progress;
  readonly #options: IntakeOptions;
  readonly #under_way = new Set<Promise<void>>();
  #now:
    | { readonly lsn: Lsn; readonly xid: number; readonly commit_ms: number; number: number }
    | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.progress = new Progress(options.standing.lsn);
  }

  /** Messages that wait for the bus. */
  get waiting(): number {
    return this.#under_way.size;
  }

  /** Resolves when everything that was begun is over, also what cannot end well. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#under_way);
  }

  take(change: WalChange): void {
    switch (change.kind) {
      case "begin":
        this.progress.begin(change.commit_ms);
        this.#now = { ...change, number: 0 };
        return;
      case "commit":
        this.#now = undefined;
        return this.progress.commit(change.end_lsn);
      case "message":
        if (change.prefix === "arqon") this.#publish(change.content);
        return;
      case "other":
        return;
      default:
        return change satisfies never;
    }
  }

  #publish(content: Uint8Array): void {
    const { standing, publisher, say, onWaiting } = this.#options;
    const at = this.#now;
    // What is below was dealt with; after a crash the server has forgotten that.
    if (at === undefined || at.lsn < standing.lsn) return;
    const committed = committedOf(content, { ...at, number: at.number++, source: standing.source });
    if (committed === undefined) {
      return say(`${lsnText(at.lsn)}: this is nothing that arqon.publish writes; passed over`);
    }
    const over = this.progress.message();
    const is_early = standing.is_known && at.lsn <= standing.end_lsn;
    const own = publisher.publish(committed, is_early).then(over, () => {}).finally(() => {
      this.#under_way.delete(own);
      onWaiting(this.#under_way.size);
    });
    this.#under_way.add(own);
    onWaiting(this.#under_way.size);
  }
}
