// What a reducer can ask about the command that it applies. Every getter asks the host again.
import {
  room_answer,
  room_claim,
  room_field,
  room_now,
  room_offset,
  room_random,
} from "./arqon_room_v1.ts";
import { Fields, wholeNumber } from "./fields.ts";

/** Bytes of the length before every value of the host. */
const LENGTH_BYTES: usize = 4;

/** A host's value as text; bytes that are not UTF-8 become U+FFFD or are dropped. */
export function textAt(pointer: usize): string {
  return String.UTF8.decodeUnsafe(pointer + LENGTH_BYTES, load<u32>(pointer));
}

/** A host's value as bytes. */
export function bytesAt(pointer: usize): Uint8Array {
  const size = load<u32>(pointer);
  const copy = new Uint8Array(size);
  memory.copy(copy.dataStart, pointer + LENGTH_BYTES, size);
  return copy;
}

/** A command of a user, or of a timer, whose user is "" and whose role is `timer`. */
export class Command {
  get name(): string {
    return textAt(room_field(0));
  }

  get bytes(): Uint8Array {
    return bytesAt(room_field(1));
  }

  /** The data as text; bytes that are not UTF-8 become U+FFFD or are dropped. */
  get text(): string {
    return textAt(room_field(1));
  }

  /** The data as a whole number in decimal. Anything else is rejected with 400. */
  get number(): i64 {
    return wholeNumber(this.text);
  }

  /** The members of the data, a JSON object. Anything else is rejected with 400. */
  get fields(): Fields {
    return new Fields(this.bytes);
  }

  /** The sender: the subject of the token. */
  get user(): string {
    return textAt(room_field(2));
  }

  get role(): string {
    return textAt(room_field(3));
  }

  get room(): string {
    return textAt(room_field(4));
  }

  /** The id that the sender chose; "" if there is none. */
  get id(): string {
    return textAt(room_field(5));
  }

  /** Whether a timer sends it and no user. */
  get isTimer(): bool {
    return this.role == "timer" && this.user == "";
  }

  /** A claim of the sender's token, or null. */
  claim(name: string): string | null {
    const key = String.UTF8.encode(name);
    const found = room_claim(changetype<usize>(key), <usize> key.byteLength);
    return found == 0 ? null : textAt(found);
  }

  /** The room's clock in Unix ms. It never goes back. */
  get nowMs(): i64 {
    return room_now();
  }

  /** Position in the room's log: no two commands of a room have the same. */
  get offset(): i64 {
    return room_offset();
  }

  /** 64 random bits: new at each call, and the same whenever this command is applied again. */
  random(): i64 {
    return room_random();
  }

  /** What the sender receives when the command is applied; the last one counts. */
  answer(text: string): void {
    const bytes = String.UTF8.encode(text);
    room_answer(changetype<usize>(bytes), <usize> bytes.byteLength);
  }
}
