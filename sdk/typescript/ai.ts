/**
 * A transport for the AI SDK of Vercel (package `ai`): `@arqon/sdk/ai`. A chat is a durable room, and an answer is a
 * growing message in it, so that it continues after a reload and on every device, and each device can stop it. It
 * declares the part of `ChatTransport` that it needs, and does not import that package.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { chatTransport } from "@arqon/sdk/ai";
 *
 * const bus = await connect({ url: "localhost:4000", token: "…" });
 * const transport = chatTransport((chat_id) => bus.room(`orders-${chat_id}`));
 * console.log(transport.resumeStreamIsReplay); // useChat({ transport, resume: true })
 * ```
 */
import type { ArqonError } from "@arqon/proto";
import { type Growing, growingList, readStream, stopStream } from "./growing/growing_messages.ts";
import type { JsonInput } from "./request/room_request.ts";
import type { Room } from "./room/room.ts";

/** Options of the transport, all optional. */
export interface ChatTransportOptions {
  /** Event type of a question; default "question". */
  readonly question?: string;
  /** Type of the message with the answer; default "answer". */
  readonly answer?: string;
}

/** The data of a question. The answering program writes a growing message with the id `answer_id`. */
export interface ChatQuestion {
  readonly answer_id: string;
  readonly trigger: string;
  /** The last message of the chat in the AI SDK's form; earlier ones are in the room. */
  readonly message: unknown;
}

/** A chunk of a `UIMessage`. */
export type ChatChunk =
  | { readonly type: "start"; readonly messageId: string }
  | { readonly type: "text-start" | "text-end"; readonly id: string }
  | { readonly type: "text-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "abort"; readonly reason?: string }
  | { readonly type: "error"; readonly errorText: string }
  | { readonly type: "finish" };

/** The part of a `ChatTransport` request that is used. */
export interface ChatRequest {
  readonly chatId: string;
  readonly trigger: string;
  readonly messages: readonly unknown[];
  readonly abortSignal: AbortSignal | undefined;
}

/** A `ChatTransport`. */
export interface ArqonChatTransport {
  /** A resumed stream begins at the start of the answer. */
  readonly resumeStreamIsReplay: true;
  /**
   * Publishes the last message as a question, and resolves with the stream of the answer. Aborting stops the answer,
   * which needs the grant `command`.
   */
  sendMessages(request: ChatRequest): Promise<ReadableStream<ChatChunk>>;
  /** The stream of the answer that is growing in the chat; null: none. */
  reconnectToStream(
    request: Pick<ChatRequest, "chatId"> & Partial<Pick<ChatRequest, "abortSignal">>,
  ): Promise<ReadableStream<ChatChunk> | null>;
}

/** Creates a transport; `roomOf` returns the room of a chat id. */
export function chatTransport(
  roomOf: (chat_id: string) => Room,
  { question = "question", answer = "answer" }: ChatTransportOptions = {},
): ArqonChatTransport {
  return {
    resumeStreamIsReplay: true,
    async sendMessages({ chatId, trigger, messages, abortSignal }) {
      const room = roomOf(chatId);
      const answer_id = crypto.randomUUID();
      const body: ChatQuestion = { answer_id, trigger, message: messages.at(-1) ?? null };
      await room.publish(question, body as unknown as JsonInput, { message_id: answer_id });
      return chunksOf(room, answer_id, abortSignal);
    },
    async reconnectToStream({ chatId, abortSignal }) {
      const room = roomOf(chatId);
      const one = (await growingList(room)).findLast(({ type }) => type === answer);
      return one === undefined ? null : chunksOf(room, one.id, abortSignal);
    },
  };
}

const STOPPED = "stopped by its reader";

/** An answer as chunks. Cancelling the stream does not stop the answer: another device may read on. */
function chunksOf(
  room: Room,
  id: string,
  abort: AbortSignal | undefined,
): ReadableStream<ChatChunk> {
  const reading = new AbortController();
  let is_open = true;
  return new ReadableStream<ChatChunk>({
    async start(out) {
      const end = (chunks: readonly ChatChunk[]) => {
        if (!is_open) return;
        is_open = false;
        for (const chunk of chunks) out.enqueue(chunk);
        out.close();
      };
      const stop = async () => {
        try {
          // The bus reports the end to every reader.
          await stopStream(room, id, STOPPED);
        } catch (error) {
          end([{ type: "text-end", id }, { type: "abort", reason: STOPPED }]);
          // An answer that has not begun yet is stopped when it does.
          if ((error as ArqonError).reason !== "growing-unknown") reading.abort();
        }
      };
      out.enqueue({ type: "start", messageId: id });
      out.enqueue({ type: "text-start", id });
      if (abort?.aborted) void stop();
      else abort?.addEventListener("abort", stop, { once: true });
      try {
        for await (const one of readStream(room, id, { signal: reading.signal })) {
          if (!is_open) return one.state === "growing" ? await stop() : undefined;
          if (one.piece !== "") out.enqueue({ type: "text-delta", id, delta: one.piece });
          if (one.state !== "growing") end(endOf(one));
        }
        end([{ type: "text-end", id }, { type: "error", errorText: "the connection is closed" }]);
      } catch (error) {
        const { reason = "" } = error as Partial<ArqonError>;
        if (reason === "disconnected" || reason === "room-banned") {
          end([{ type: "text-end", id }, { type: "error", errorText: "removed from the room" }]);
        }
        if (is_open) out.error(error);
        is_open = false;
      }
    },
    cancel() {
      is_open = false;
      // The AI SDK also cancels the stream of an answer that it stops.
      if (!abort?.aborted) reading.abort();
    },
  });
}

function endOf({ id, state, reason }: Growing): ChatChunk[] {
  const end = { type: "text-end", id } as const;
  switch (state) {
    case "finished":
      return [end, { type: "finish" }];
    case "stopped":
      return [end, { type: "abort", reason }];
    case "aborted":
      return [end, { type: "error", errorText: reason === "" ? "aborted" : reason }];
    case "growing":
      return [];
    default:
      return state satisfies never;
  }
}
