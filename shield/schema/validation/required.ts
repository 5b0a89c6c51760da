/**
 * Finds missing required fields in a decoded message. It serves JSON, and binary data with a message in several pieces,
 * which only a reader merges. The wire walker finds all others.
 */
import {
  type DescExtension,
  type DescMessage,
  getExtension,
  hasExtension,
  isFieldSet,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import type { Findings } from "./validate_findings.ts";
import { joinPath, quoteKey } from "./validate_path.ts";

/** Finds missing required fields in messages of one registry. */
export class RequiredFields {
  /** Extensions that are messages, by the type that they extend. */
  readonly #extensions = new Map<string, DescExtension[]>();

  constructor(registry: Registry) {
    for (const type of registry) {
      if (type.kind !== "extension" || type.message === undefined) continue;
      const { typeName } = type.extendee;
      this.#extensions.set(typeName, [...this.#extensions.get(typeName) ?? [], type]);
    }
  }

  /** Reports each required field that is missing, at any depth. */
  report(desc: DescMessage, message: Message, findings: Findings): void {
    this.#message(reflect(desc, message), "", findings);
  }

  #message(message: ReflectMessage, path: string, findings: Findings): void {
    for (const field of message.fields) {
      const inner = joinPath(path, field.name);
      if (!isFieldSet(message.message, field)) {
        if (field.presence !== FeatureSet_FieldPresence.LEGACY_REQUIRED) continue;
        const what = `the required field ${field.name} of ${message.desc.typeName} is missing`;
        if (findings.count()) findings.describe(inner, "required", what);
      } else if (field.fieldKind === "message") {
        this.#message(message.get(field), inner, findings);
      } else if (field.fieldKind === "list" && field.listKind === "message") {
        this.#list(message.get(field) as Iterable<ReflectMessage>, inner, findings);
      } else if (field.fieldKind === "map" && field.mapKind === "message") {
        for (const [key, value] of message.get(field)) {
          const shown = typeof key === "string" ? quoteKey(key) : String(key);
          this.#message(value as ReflectMessage, `${inner}[${shown}]`, findings);
        }
      }
    }
    for (const extension of this.#extensions.get(message.desc.typeName) ?? []) {
      if (!hasExtension(message.message, extension)) continue;
      const inner = joinPath(path, `[${extension.typeName}]`);
      const value = getExtension(message.message, extension) as Message | Message[];
      const shown = (one: Message) => reflect(extension.message!, one);
      if (Array.isArray(value)) this.#list(value.map(shown), inner, findings);
      else this.#message(shown(value), inner, findings);
    }
  }

  #list(elements: Iterable<ReflectMessage>, path: string, findings: Findings): void {
    let index = 0;
    for (const element of elements) this.#message(element, `${path}[${index++}]`, findings);
  }
}
