/**
 * The publishing of a room's events while its next entries are applied and appended: one turn after the other, and
 * never more than one ahead. What is published is `publishing.ts`.
 */

/** Turns of publishing. */
export class PublishingTurns {
  #under_way: Promise<void> | undefined;

  /** Begins a turn behind the one before. Rejects, and begins none, with what that failed with. */
  async next(publish: () => Promise<void>): Promise<void> {
    await this.done();
    const turn = this.#under_way = publish();
    // Who asks next is notified of a failure.
    turn.catch(() => {});
  }

  /** Waits until nothing is under way. Rejects once with what failed. */
  async done(): Promise<void> {
    const turn = this.#under_way;
    this.#under_way = undefined;
    await turn;
  }
}
