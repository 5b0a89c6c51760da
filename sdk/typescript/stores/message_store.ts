/** A bounded list of a room's messages: stored ones, new ones, and older ones on demand. */
import { asArqonError } from "../wire/wire_error.ts";
import type { Message } from "../message/message.ts";
import type { RoomHub } from "./room_hub.ts";
import { Cell, type RoomView } from "./store.ts";
import { history } from "../subscription/replay.ts";

/** Options of `RoomStores.messages`. */
export interface MessagesOptions {
  /** Begin with this many stored messages; the room must be durable. Default 0: none. */
  readonly history?: number;
  /** Only messages of this type; messages of the system, such as GAP, are always included. */
  readonly type?: string | undefined;
  /** The most messages in the list; the oldest are removed first, and `more` loads them again. Default 1,000. */
  readonly limit?: number | undefined;
}

/** The present messages of a room. */
export interface MessagesView extends RoomView {
  /** The oldest first. An item with `signal.kind` `GAP` marks missing messages. */
  readonly messages: readonly Message[];
  /** Whether the room has older stored messages: `more` loads them. */
  readonly has_more: boolean;
  /** Whether older ones are being loaded. */
  readonly is_loading: boolean;
}

const LIMIT = 1_000;

/** The messages of a room while the store has a subscriber. */
export class MessageStore extends Cell<MessagesView> {
  readonly #hub: RoomHub;
  readonly #options: MessagesOptions;
  #limit = 0;
  #life = 0;
  #list: Message[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(hub: RoomHub, options: MessagesOptions) {
    super({ messages: [], has_more: false, is_loading: false, ready: false, error: undefined });
    this.#hub = hub;
    this.#options = options;
  }

  /** Loads up to `count` older stored messages; a refusal is the view's `error`. */
  readonly more = async (count: number = this.#options.history ?? 50): Promise<void> => {
    const life = this.#life;
    if (this.get().is_loading) return;
    this.show({ is_loading: true });
    const before = this.#list.find(({ offset }) => offset !== 0);
    const query = { limit: count, reverse: true, before: before?.offset ?? 0 };
    try {
      const { messages, more } = await this.#hub.use((room) => history(room, query));
      if (life !== this.#life) return;
      // Messages that arrived meanwhile are in the list, and newer than all that are not.
      const first = this.#list.find(({ offset }) => offset !== 0);
      const older = messages.filter((one) =>
        this.#isWanted(one) && (!first || one.epoch !== first.epoch || one.offset < first.offset)
      );
      this.#list = [...older.reverse(), ...this.#list];
      this.#limit = Math.max(this.#limit, this.#list.length);
      this.show({ has_more: more, error: undefined });
    } catch (error) {
      if (life === this.#life) this.show({ error: asArqonError(error) });
    }
    if (life === this.#life) this.#flush({ is_loading: false });
  };

  protected start(): () => void {
    this.#limit = this.#options.limit ?? LIMIT;
    const leave = this.#hub.join({
      opened: async () => {
        const { history = 0 } = this.#options;
        const life = this.#life;
        if (history > 0 && !this.get().ready) await this.more(history);
        if (life === this.#life) this.#flush({ ready: true });
      },
      message: (message) => this.#receive(message),
      ended: (error) => this.#flush({ error }),
    });
    return () => {
      leave();
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#list = [];
      this.#life += 1;
    };
  }

  #isWanted({ signal, type }: Message): boolean {
    if (signal) return true;
    // A backend may publish without a sender.
    return type !== "ROOM_UPDATE" && (this.#options.type ?? type) === type;
  }

  #receive(message: Message): void {
    if (!this.#isWanted(message)) return;
    const { offset, epoch } = message;
    // The history already contained it.
    const last = offset === 0 ? undefined : this.#list.findLast((one) => one.offset !== 0);
    if (last && last.epoch === epoch && offset <= last.offset) return;
    this.#list.push(message);
    this.#timer ??= setTimeout(() => this.#flush(), 0);
  }

  /** Updates the view: once for all messages of one turn. */
  #flush(changed: Partial<MessagesView> = {}): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // A negative number removes none.
    const left = this.#list.splice(0, this.#list.length - this.#limit);
    const trimmed = left.some(({ offset }) => offset !== 0) ? { has_more: true } : {};
    const { messages } = this.get();
    const is_same = messages.length === this.#list.length && messages.at(-1) === this.#list.at(-1);
    this.show({ messages: is_same ? messages : [...this.#list], ...trimmed, ...changed });
  }
}
