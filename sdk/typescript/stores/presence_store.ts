/** The other members of a room as a list, and throttled updates of this client's metadata. */
import type { ArqonError } from "@arqon/proto";
import { asArqonError } from "../wire/wire_error.ts";
import type { Json, JsonInput } from "../request/room_request.ts";
import type { Member, Presence } from "../presence/presence.ts";
import type { Subscription } from "../subscription/subscription.ts";
import type { Connection } from "../connection/connection.ts";
import { sleep } from "../time/clock.ts";
import type { RoomHub } from "./room_hub.ts";
import { Cell, type RoomView } from "./store.ts";

/** A member whose metadata has the type `Meta`, unchecked. */
export type MemberWith<Meta> = Omit<Member, "meta"> & { readonly meta: Meta };

/** The present members of a room. */
export interface PresenceView<Meta = Json> extends RoomView {
  /** This client's metadata, possibly not sent yet; undefined if it has none. */
  readonly me: Meta | undefined;
  /** The other connections in the order of their joins; a member stays the same object until it changes. */
  readonly others: readonly MemberWith<Meta>[];
  /** The number of distinct users, including this one if it is a member. */
  readonly users: number;
}

/** Options of `PresenceStore.begin`. */
export interface PresenceOptions {
  /** Initial metadata, unless some was already set. */
  readonly initial?: JsonInput | undefined;
  /** Shortest interval between sent updates, in ms; default 100. */
  readonly throttle_ms?: number | undefined;
}

/** Shortest interval between view updates, in ms: a frame of most screens. */
const FRAME_MS = 16;
const THROTTLE_MS = 100;

/** The members of a room while the store has a subscriber. */
export class PresenceStore<Meta = Json> extends Cell<PresenceView<Meta>> {
  readonly #hub: RoomHub;
  readonly #role: "member" | "observer";
  #throttle_ms = THROTTLE_MS;
  #loop: Subscription | undefined;
  #is_due = false;
  #is_busy = false;

  constructor(hub: RoomHub, role: "member" | "observer") {
    super({ me: undefined, others: [], users: 0, ready: false, error: undefined });
    this.#hub = hub;
    this.#role = role;
  }

  /** Sets the initial metadata and the throttle. Call it before or with `subscribe`. */
  begin({ initial, throttle_ms = THROTTLE_MS }: PresenceOptions): void {
    this.#throttle_ms = throttle_ms;
    if (initial !== undefined && this.#hub.meta === undefined) this.update(initial as Meta);
  }

  /**
   * Changes this client's metadata. The view changes at once, and the newest metadata is sent at most every
   * `throttle_ms`. A refusal is the view's `error`.
   */
  readonly update = (meta: Meta | ((before: Meta | undefined) => Meta)): void => {
    const before = this.#hub.meta as Meta | undefined;
    const next = typeof meta === "function" ? (meta as (of?: Meta) => Meta)(before) : meta;
    this.#hub.meta = next as JsonInput;
    this.#is_due = true;
    this.show({ me: next });
    void this.#send();
  };

  /** Sends due updates, one after another. */
  async #send(): Promise<void> {
    if (this.#is_busy) return;
    this.#is_busy = true;
    for (let loop = this.#loop; loop && this.#is_due; loop = this.#loop) {
      this.#is_due = false;
      const show = (error?: ArqonError) => {
        if (loop === this.#loop) this.show({ error });
      };
      await Promise.all([
        loop.update(this.#hub.meta!).then(() => show(), (error) => show(asArqonError(error))),
        sleep(this.#throttle_ms),
      ]);
    }
    this.#is_busy = false;
  }

  protected start(): () => void {
    const is_member = this.#role === "member";
    const leave = this.#hub.join({
      presence: this.#role,
      opened: (loop, bus) => {
        this.#loop = loop;
        this.#is_due = is_member && this.#hub.meta !== this.#hub.sent;
        void this.#send();
        void this.#follow(loop, bus);
      },
      ended: (error) => this.show({ error }),
    });
    if (is_member) this.show({ me: this.#hub.meta as Meta | undefined });
    return () => {
      leave();
      this.#loop = undefined;
      if (is_member) this.#hub.meta = undefined;
    };
  }

  async #follow(loop: Subscription, bus: Connection): Promise<void> {
    const members = new Map<string, MemberWith<Meta>>();
    // After a reconnect the list may still contain the previous connection.
    const own = new Set([bus.welcome.connection_id]);
    const show = (presence: Presence) => {
      const others = [...members.values()].filter((one) => !own.has(one.connection_id));
      const shown = this.get().others;
      const is_same = others.length === shown.length &&
        others.every((one, at) => one === shown[at]);
      this.show({ ready: true, users: presence.users, others: is_same ? shown : others });
    };
    const { presence } = loop;
    if (!presence) return;
    const stop = this.#hub.client.connection.subscribe((status) => {
      if (status.state !== "open") return;
      own.add(status.welcome.connection_id);
      if (members.size > 0) show(presence);
    });
    try {
      if (presence.count === 0) show(presence);
      for await (const { joined, updated, left } of presence.changes()) {
        if (loop !== this.#loop) break;
        for (const one of [...joined, ...updated]) members.set(one.connection_id, one as never);
        for (const { connection_id } of left) members.delete(connection_id);
        show(presence);
        await sleep(FRAME_MS);
      }
    } catch {
      // The room's own loop reports why it ended.
    }
    stop();
  }
}
