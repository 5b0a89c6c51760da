/** What a reader has received of a room's growing messages, and what the room has stored. For tests. */
import type { Message, Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { type Growing, growing } from "@arqon/sdk/streams";

/** The received parts of each message. */
export class Received implements Disposable {
  readonly all: Growing[] = [];
  readonly #stop = new AbortController();
  readonly done: Promise<void>;

  constructor(room: Room) {
    this.done = this.#read(room).catch((error) => {
      if (!this.#stop.signal.aborted) throw error;
    });
  }

  /** Its last received state. */
  of(id: string): Growing | undefined {
    return this.all.findLast((one) => one.id === id);
  }

  pieces(id: string): string[] {
    return this.all.filter((one) => one.id === id).map(({ piece }) => piece);
  }

  async #read(room: Room): Promise<void> {
    for await (const one of growing(room, { signal: this.#stop.signal })) this.all.push(one);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

/** The messages of the room. */
export async function stored(room: Room): Promise<Message[]> {
  return (await history(room, { limit: 1000 })).messages;
}
