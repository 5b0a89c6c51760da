// What a policy can ask about the operation on which it decides. Every getter asks the host again; a policy that
// needs a value twice keeps it.
import {
  host_add_header,
  host_get_claim,
  host_get_header,
  host_get_payload,
} from "./arqon_host_v1.ts";

/** Bytes of the length before every value of the host. */
const LENGTH_BYTES: usize = 4;

/** A host's value as text; bytes that are not UTF-8 become U+FFFD or are dropped. */
function textAt(pointer: usize): string {
  return String.UTF8.decodeUnsafe(pointer + LENGTH_BYTES, load<u32>(pointer));
}

/** A connection or a subscription that waits for a verdict. */
export class Request {
  /**
   * The first header of that name, without regard to case, or null. The envelope's headers come
   * first, then the upgrade request's, then the reserved ones (`x-arqon-…`).
   */
  header(name: string): string | null {
    const key = String.UTF8.encode(name);
    const found = host_get_header(changetype<usize>(key), <usize> key.byteLength);
    return found == 0 ? null : textAt(found);
  }

  /** A claim of the client's token, or null. A claim that is no string is JSON. */
  claim(name: string): string | null {
    const key = String.UTF8.encode(name);
    const found = host_get_claim(changetype<usize>(key), <usize> key.byteLength);
    return found == 0 ? null : textAt(found);
  }

  /**
   * Adds a header that the next policy and every subscriber sees. At most 64 a call. The call ends
   * in a fault (503) when the name or value is no legal header or the name is reserved.
   */
  addHeader(name: string, value: string): void {
    const key = String.UTF8.encode(name);
    const bytes = String.UTF8.encode(value);
    host_add_header(
      changetype<usize>(key),
      <usize> key.byteLength,
      changetype<usize>(bytes),
      <usize> bytes.byteLength,
    );
  }

  /** Tenant of the token. */
  get tenant(): string {
    return this.reserved("x-arqon-tenant");
  }

  /** Room of the operation; "" for a connection. */
  get room(): string {
    return this.reserved("x-arqon-room");
  }

  /** User of the token (its subject). */
  get user(): string {
    return this.reserved("x-arqon-user");
  }

  /** Address of the client. */
  get remoteIp(): string {
    return this.reserved("x-arqon-remote-ip");
  }

  /** Time of the Shield in Unix ms; 0 if it is absent. */
  get nowMs(): i64 {
    const text = this.reserved("x-arqon-now-ms");
    return text.length == 0 ? 0 : I64.parseInt(text, 10);
  }

  /** A header that only the Shield can set; "" when it is absent. */
  protected reserved(name: string): string {
    const value = this.header(name);
    return value === null ? "" : value;
  }
}

/** An event or command that waits for a verdict. */
export class Message extends Request {
  /** Type of the event or name of the command. */
  get type(): string {
    return this.reserved("x-arqon-type");
  }

  /** As the sender wrote it, with its parameters; "" when it wrote none. */
  get contentType(): string {
    return this.reserved("x-arqon-content-type");
  }

  /** The content type in lower case and without parameters, for comparing; "" when there is none. */
  get mediaType(): string {
    const type = this.contentType;
    const end = type.indexOf(";");
    let lower = "";
    for (let index = 0; index < (end < 0 ? type.length : end); index++) {
      const unit = type.charCodeAt(index);
      if (unit == 0x20 || unit == 0x09) continue;
      lower += String.fromCharCode(unit >= 0x41 && unit <= 0x5A ? unit + 32 : unit);
    }
    return lower;
  }

  /** The payload; empty when there is none. */
  get bytes(): Uint8Array {
    const payload = host_get_payload();
    if (payload == 0) return new Uint8Array(0);
    const size = load<u32>(payload);
    const copy = new Uint8Array(size);
    memory.copy(copy.dataStart, payload + LENGTH_BYTES, size);
    return copy;
  }

  /** The payload as text; bytes that are not UTF-8 become U+FFFD or are dropped. */
  get text(): string {
    const payload = host_get_payload();
    return payload == 0 ? "" : textAt(payload);
  }
}
