/**
 * How far the bridge is: transactions in commit order, each over when all its messages are. Pure; what becomes of a
 * message is `bridge.ts`.
 */
import type { Lsn } from "./wal.ts";

interface Transaction {
  readonly commit_ms: number;
  /** 0 until its end is known. */
  end_lsn: Lsn;
  open: number;
}

/** The progress of one stream. */
export class Progress {
  /** Everything below is published, refused for good, or was none of ours. */
  done_lsn: Lsn;
  /**
   * When the last transaction below was committed, Unix ms by the clock of the database: nothing above was published
   * before that, by this bridge or by another. 0 when none is over yet.
   */
  done_ms = 0;
  #idle_lsn: Lsn = 0n;
  readonly #transactions: Transaction[] = [];

  constructor(done_lsn: Lsn) {
    this.done_lsn = done_lsn;
  }

  begin(commit_ms: number): void {
    this.#transactions.push({ commit_ms, end_lsn: 0n, open: 0 });
  }

  /** A message of the last transaction; calls the result when it is over. */
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

  /** The server is there, and has sent what there is of ours below that. */
  alive(lsn: Lsn): void {
    if (this.#transactions.length === 0) this.#idle_lsn = lsn;
  }

  /** What the server need not keep: also what other transactions wrote since. */
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
