/**
 * Growing messages, such as the answer of a model: `@arqon/sdk/streams`. Only programs that import it load it.
 * docs/growing.md describes them.
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
export { growing, growingList, readStream, stopStream } from "./growing/growing_messages.ts";
export type { Growing, GrowingOptions, GrowingState } from "./growing/growing_messages.ts";
export type { GrowingView, StreamEnd } from "./growing/growing_messages.ts";
export { openStream, stream, TextStream } from "./growing/text_stream.ts";
export type { TextStreamOptions } from "./growing/text_stream.ts";
