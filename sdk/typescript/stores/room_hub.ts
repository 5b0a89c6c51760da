/** The subscription that all stores of a room share, from the first subscriber to the last. */
import { ArqonError } from "@arqon/proto";
import type { Connection } from "../connection/connection.ts";
import type { Position } from "../durable/position.ts";
import { gapMessage, type Message, requireIn } from "../message/message.ts";
import type { SubscribeOptions, Subscription } from "../subscription/subscription.ts";
import { asArqonError } from "../wire/wire_error.ts";
import type { JsonInput } from "../request/room_request.ts";
import type { Status } from "../options/options.ts";
import type { Room } from "../room/room.ts";
import type { Store } from "./store.ts";

/** A store that listens to its room. */
export interface RoomListener {
  /** Whether it needs the members, and whether this client is one. */
  readonly presence?: "member" | "observer";
  /** Called when the room is subscribed to, and at each new subscription; `terms` are for further loops. */
  opened(subscription: Subscription, bus: Connection, terms: SubscribeOptions): void;
  message?(message: Message): void;
  /** Called at the end, with its reason, and with undefined when another subscription begins. */
  ended(error: ArqonError | undefined): void;
}

/** The bus client of the stores. */
interface HubClient {
  /** The status of the connection, which is kept open by a subscriber. */
  readonly connection: Store<Status>;
  /** Runs `work` with the open connection. */
  use<Result>(work: (bus: Connection) => Result | Promise<Result>): Promise<Result>;
}

interface OpenRoom {
  readonly loop: Subscription;
  readonly bus: Connection;
  /** Ends the further loops: another subscription may have other terms. */
  readonly over: AbortController;
  readonly terms: SubscribeOptions;
  is_ready: boolean;
}

/** The subscription of a room's stores. */
export class RoomHub {
  readonly id: string;
  readonly client: HubClient;
  /** This member's metadata. */
  meta: JsonInput | undefined;
  /** The metadata that the present subscription began with. */
  sent: JsonInput | undefined;
  readonly #listeners = new Set<RoomListener>();
  readonly #opened = new Set<RoomListener>();
  #terms: string | undefined;
  #turn = 0;
  #open: OpenRoom | undefined;
  #leave: (() => void) | undefined;
  #is_planned = false;
  /** Whether the subscription has ended: the next listener begins another one. */
  #is_over = false;

  constructor(id: string, client: HubClient) {
    this.id = id;
    this.client = client;
  }

  /** Whether there is no listener. */
  get is_idle(): boolean {
    return this.#listeners.size === 0;
  }

  /** Runs `work` with the SDK's room; waits for the connection. */
  use<Result>(work: (room: Room) => Result | Promise<Result>): Promise<Result> {
    return this.client.use((bus) => work(bus.room(this.id)));
  }

  /** Listens until the returned function is called. */
  join(listener: RoomListener): () => void {
    this.#listeners.add(listener);
    if (this.#is_over) {
      this.#terms = undefined;
      this.#end(false);
    }
    this.#plan();
    return () => {
      this.#listeners.delete(listener);
      this.#opened.delete(listener);
      this.#plan();
    };
  }

  /** Combines the needs of stores that join in one turn, such as those of one page. */
  #plan(): void {
    if (this.#is_planned) return;
    this.#is_planned = true;
    queueMicrotask(() => {
      this.#is_planned = false;
      this.#arrange();
    });
  }

  #arrange(): void {
    const wanted = [...this.#listeners].map(({ presence = "none" }) => presence);
    const terms = ["member", "observer", "none"].find((one) => wanted.includes(one as "member"));
    if (terms === this.#terms) return this.#tell();
    const before = this.#open;
    this.#terms = terms;
    this.#open = undefined;
    this.#opened.clear();
    before?.over.abort();
    before?.loop.close();
    const turn = ++this.#turn;
    if (terms === undefined) {
      this.#leave?.();
      this.#leave = undefined;
      return;
    }
    this.#leave ??= this.client.connection.subscribe(() => {});
    void this.#follow(turn, terms, before?.loop.position).catch((error) => {
      if (turn === this.#turn) this.#end(true, asArqonError(error));
    });
    // Messages published between the two subscriptions were missed; a durable room has stored them.
    if (before?.is_ready && !before.loop.position) {
      this.#receive(gapMessage(this.id, "reconnect", Date.now()));
    }
  }

  async #follow(turn: number, terms: string, position: Position | undefined): Promise<void> {
    await this.client.use(async (bus) => {
      if (turn !== this.#turn) return;
      this.sent = this.meta;
      const options = { presence: terms !== "none", observer: terms === "observer" };
      const loop = bus.room(this.id).subscribe({
        ...options,
        ...(terms === "member" && this.meta !== undefined ? { member_meta: this.meta } : {}),
        ...(position ? { position } : {}),
      });
      const over = new AbortController();
      const { signal } = over;
      const open = { loop, bus, over, terms: { ...options, signal }, is_ready: false };
      this.#open = open;
      // The loop below gets the failure, too.
      loop.ready.then(() => {
        open.is_ready = true;
        this.#tell();
      }, () => {});
      for await (const message of loop) {
        if (turn !== this.#turn) return;
        this.#receive(message);
        requireIn(this.id, message);
      }
      throw new ArqonError("disconnected", this.id);
    });
  }

  #end(is_over: boolean, error?: ArqonError): void {
    this.#is_over = is_over;
    this.#each((one) => one.ended(error));
  }

  #receive(message: Message): void {
    this.#each((one) => one.message?.(message));
  }

  #tell(): void {
    const open = this.#open;
    if (!open?.is_ready) return;
    this.#each((one) => {
      if (this.#opened.has(one)) return;
      this.#opened.add(one);
      one.opened(open.loop, open.bus, open.terms);
    });
  }

  #each(call: (one: RoomListener) => void): void {
    for (const one of [...this.#listeners]) call(one);
  }
}
