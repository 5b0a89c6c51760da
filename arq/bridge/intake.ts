/**
 * Reads a database's log in order and passes published messages to the publisher. `bridge.ts` reads the log.
 */
import { committedOf, type Lsn, shownOf, unsignedOf, type WalChange } from "./wal.ts";
import type { Committed } from "./bus.ts";
import type { Publisher } from "./publisher.ts";
import type { Standing } from "./database.ts";

interface Commit {
  readonly commit_ms: number;
  /** 0 until its end is known. */
  end_lsn: Lsn;
  open: number;
}

/** The progress of one stream. */
export class Progress {
  /** Everything below was published, refused permanently, or did not concern the bridge. */
  done_lsn: Lsn;
  /**
   * Commit time of the last transaction below `done_lsn`, Unix ms by the database's clock: no bridge published anything
   * above before that time. 0 while no transaction is settled.
   */
  done_ms = 0;
  #idle_lsn: Lsn = 0n;
  readonly #transactions: Commit[] = [];

  constructor(done_lsn: Lsn) {
    this.done_lsn = done_lsn;
  }

  begin(commit_ms: number): void {
    this.#transactions.push({ commit_ms, end_lsn: 0n, open: 0 });
  }

  /** Counts a message of the last transaction; the returned function must be called when it is settled. */
  message(): () => void {
    const transaction = this.#transactions.at(-1);
    if (transaction === undefined) throw new TypeError("a message outside of a transaction");
    transaction.open++;
    return () => {
      transaction.open--;
      this.#advance();
    };
  }

  commit(end_lsn: Lsn): void {
    const transaction = this.#transactions.at(-1);
    if (transaction !== undefined) transaction.end_lsn = end_lsn;
    this.#advance();
  }

  /** The server is alive and has sent everything relevant below `lsn`. */
  alive(lsn: Lsn): void {
    if (this.#transactions.length === 0) this.#idle_lsn = lsn;
  }

  /** The position below which the server need not keep its log, including what other transactions wrote since. */
  get over_lsn(): Lsn {
    const is_idle = this.#transactions.length === 0 && this.#idle_lsn > this.done_lsn;
    return is_idle ? this.#idle_lsn : this.done_lsn;
  }

  #advance(): void {
    for (;;) {
      const [first] = this.#transactions;
      if (first === undefined || first.end_lsn === 0n || first.open > 0) return;
      this.#transactions.shift();
      if (first.end_lsn <= this.done_lsn) continue;
      this.done_lsn = first.end_lsn;
      this.done_ms = first.commit_ms;
    }
  }
}

interface IntakeOptions {
  readonly standing: Standing;
  readonly publisher: Publisher;
  readonly onWaiting: (messages: number) => void;
}

interface Transaction {
  readonly lsn: Lsn;
  readonly xid: number;
  readonly commit_ms: number;
  number: number;
  /** Its unsigned messages, refused together as one however many there are. */
  unsigned: Unsigned | undefined;
}

interface Unsigned {
  readonly number: number;
  readonly first: Uint8Array;
  readonly over: () => void;
  count: number;
}

/** Everything that one reader of the log delivers. */
export class Intake {
  readonly progress: Progress;
  readonly #options: IntakeOptions;
  readonly #under_way = new Set<Promise<void>>();
  #now: Transaction | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.progress = new Progress(options.standing.lsn);
  }

  get waiting(): number {
    return this.#under_way.size;
  }

  /** Resolves when every started message is settled, whatever its outcome. */
  async settled(): Promise<void> {
    await Promise.all(this.#under_way);
  }

  take(change: WalChange): void {
    switch (change.kind) {
      case "begin":
        this.progress.begin(change.commit_ms);
        this.#now = { ...change, number: 0, unsigned: undefined };
        return;
      case "commit":
        this.#refuseUnsigned();
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
    const { source, key, is_known, lsn, end_lsn } = this.#options.standing;
    const at = this.#now;
    // Everything below was handled, but after a crash the server has forgotten that.
    if (at === undefined || at.lsn < lsn) return;
    const number = at.number++;
    const committed = committedOf(content, key, { ...at, number, source });
    if (committed !== undefined) {
      return this.#begin(committed, is_known && at.lsn <= end_lsn, this.progress.message());
    }
    at.unsigned ??= { number, first: shownOf(content), over: this.progress.message(), count: 0 };
    at.unsigned.count++;
  }

  #refuseUnsigned(): void {
    const at = this.#now;
    if (at?.unsigned === undefined) return;
    const { first, count, number, over } = at.unsigned;
    this.#begin(unsignedOf(first, count, { ...at, number }), false, over);
  }

  #begin(message: Committed, is_early: boolean, over: () => void): void {
    const { publisher, onWaiting } = this.#options;
    // It rejects when the bridge ends; the next bridge reads the message again.
    const own = publisher.publish(message, is_early).then(over, () => {}).finally(() => {
      this.#under_way.delete(own);
      onWaiting(this.#under_way.size);
    });
    this.#under_way.add(own);
    onWaiting(this.#under_way.size);
  }
}
