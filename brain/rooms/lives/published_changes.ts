/**
 * What this Brain knows of which changes of each room were published: up to which version, and
 * whether an earlier owner may have left some unpublished. Bounded; what is forgotten is published
 * again, which is harmless.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { ChangeNumber } from "../../../shared/records/room_update.ts";
import type { RoomAddress } from "../commands/command.ts";

/** What is known of one room. */
export interface PublishedState {
  /** The term in which this Brain has published what another owner may have left unpublished. */
  term: number | undefined;
  /**
   * All changes up to this one are published, or were others' to publish before this Brain knew the
   * room; undefined: it does not know the room.
   */
  said: ChangeNumber | undefined;
  /** True when the room's birth could not be published. */
  birth_unsaid: boolean;
}

/** What is known of all rooms; one per Brain. */
export class PublishedChanges {
  /** By room; the one that nobody asked for longest is forgotten first. */
  readonly #published: BoundedMap<string, PublishedState>;

  constructor(rooms_max: number) {
    this.#published = new BoundedMap(rooms_max);
  }

  /** The entry of a room, to be read and changed; made when there is none. */
  of({ tenant_id, room_id }: RoomAddress): PublishedState {
    const id = `${tenant_id}.${room_id}`;
    const state = this.#published.get(id) ??
      { term: undefined, said: undefined, birth_unsaid: false };
    this.#published.renew(id, state);
    return state;
  }
}
