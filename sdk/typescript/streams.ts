/**
 * Messages that grow, such as the answer of a model: `@arqon/sdk/streams`. A program that does not import it does
 * not load it. What the bus does for it is in docs/growing.md.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { growing, stream } from "@arqon/sdk/streams";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const room = bus.room("orders-chat");
 * await stream(room, ["Once ", "upon ", "a time"], { type: "answer" });
 * for await (const { text, state } of growing(room)) console.log(state, text);
 * ```
 */
export { growing, growingList, stopStream } from "./growing/growing_messages.ts";
export { readStream } from "./growing/growing_messages.ts";
export type { Growing, GrowingOptions } from "./growing/growing_messages.ts";
export type { GrowingState, GrowingView, StreamEnd } from "./growing/growing_room.ts";
export { openStream, stream, TextStream } from "./growing/text_stream.ts";
export type { TextStreamOptions } from "./growing/text_stream.ts";
