// Messages whose payload a policy can replace. Only for policies of version 2.
import { host_set_payload } from "./arqon_host_v2.ts";
import { onMessage as onAnyMessage, Verdict } from "./guest.ts";
import { Message as AnyMessage } from "./request.ts";

let replacingHandler: (message: Message) => Verdict = refuseMessage;

function refuseMessage(_message: Message): Verdict {
  return 1;
}

/** An event or command that waits for a verdict. */
export class Message extends AnyMessage {
  /**
   * Replaces the payload by `value`, a `Uint8Array` or a string: the next policy, the room's log and
   * every subscriber get only that. The content type stays, and so do the results of `bytes` and `text` in
   * this call. The last one counts, if the message passes. The call ends in a fault when its sender has
   * signed the message (422) or the new payload is too large (413).
   */
  replace<T>(value: T): void {
    if (isString<T>()) {
      const bytes = String.UTF8.encode(<string> value);
      host_set_payload(changetype<usize>(bytes), <usize> bytes.byteLength);
    } else {
      const bytes = <Uint8Array> value;
      host_set_payload(bytes.dataStart, <usize> bytes.byteLength);
    }
  }
}

function judgeMessage(message: AnyMessage): Verdict {
  // It has no field of its own.
  return replacingHandler(changetype<Message>(message));
}

/** Registers the handler for messages: events and commands. */
export function onMessage(handler: (message: Message) => Verdict): void {
  replacingHandler = handler;
  onAnyMessage(judgeMessage);
}
