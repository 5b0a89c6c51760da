/** The messages of `proto/arqon/v1` in protobuf-es, the reference for our own codecs. */
import { createFileRegistry, type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { DESCRIPTORS } from "../gen/arqon/descriptors.ts";

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, Uint8Array.fromBase64(DESCRIPTORS)),
);

/** The schema of a message by its name. */
export function schemaOf(name: string): DescMessage {
  const found = registry.getMessage(`arqon.v1.${name}`);
  if (found === undefined) throw new Error(`proto/arqon/v1 has no message ${name}`);
  return found;
}

type Event = Message<"arqon.v1.Event"> & {
  type: string;
  data: Uint8Array;
  contentType: string;
  schemaId: string;
};

type Command = Message<"arqon.v1.Command"> & {
  name: string;
  data: Uint8Array;
  contentType: string;
  expectVersion: bigint;
  afterVersion: bigint;
  fence: bigint;
  epoch: string;
  commandId: string;
};

type SystemSignal = Message<"arqon.v1.SystemSignal"> & {
  kind: number;
  target: string;
  reason: string;
  untilMs: bigint;
};

type Delta = Message<"arqon.v1.Delta"> & {
  slot: number;
  number: bigint;
  base: bigint;
  checksum: number;
};

/** An envelope in the form of protobuf-es (camelCase, bigint). */
export type Envelope = Message<"arqon.v1.Envelope"> & {
  traceId: string;
  tenantId: string;
  roomId: string;
  timestamp: bigint;
  headers: { [key: string]: string };
  ackRequested: boolean;
  requestId: bigint;
  senderId: string;
  offset: bigint;
  signature: Uint8Array;
  messageId: string;
  payload:
    | { case: "cmd"; value: Command }
    | { case: "event"; value: Event }
    | { case: "signal"; value: SystemSignal }
    | { case: undefined; value?: undefined };
  delta?: Delta | undefined;
};

/** The envelope, with the types of its fields. */
export const EnvelopeSchema = schemaOf("Envelope") as GenMessage<Envelope>;

/** The names of the kinds of signals, by number. */
export const SIGNAL_KINDS: ReadonlyMap<number, string> = new Map(
  registry.getEnum("arqon.v1.SystemSignal.Kind")?.values.map((
    each,
  ) => [each.number, each.localName]),
);
