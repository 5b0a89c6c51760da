/**
 * The console's thread that tries a module on recorded decisions: it meters the module as a Shield would and repeats
 * the calls of the lines that the page passes to it. It sends no requests: lines and the modules that they name come
 * from the page. `shield/admin/console/replay_bundle.ts` bundles it for the browser.
 */
import "./no_eval.ts";
import type { WorkerScope } from "../../shared/process/thread_answers.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import type { JournalChunk } from "./journal_chunks.ts";
import { createModuleBook, readyModule } from "./replay_modules.ts";
import { Repeater } from "./repeater.ts";
import type { ReplaySelection } from "./selection.ts";
import { plain, type Tally } from "./tally.ts";

/** Messages from the page. */
type PageMail =
  | {
    readonly kind: "start";
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly memory_limit_pages: number;
    readonly selection: ReplaySelection;
  }
  /** Undefined: nobody has the bytes. */
  | {
    readonly kind: "module";
    readonly sha256: string;
    readonly bytes: Uint8Array | undefined;
  }
  | { readonly kind: "chunk"; readonly chunk: JournalChunk };

/** Messages from the thread. */
type PageNews =
  | { readonly kind: "ready"; readonly sha256: string; readonly is_stateful: boolean }
  /** No Shield would accept the module, or repeating the lines failed. */
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "needs"; readonly sha256: string }
  | { readonly kind: "done"; readonly tally: ReturnType<typeof plain<Tally>> };

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * The bus has selected the lines by tenant, room and time. `selection.ts` is not used: it would bring room patterns,
 * and with them the whole protocol, into the page.
 */
const isSelected = ({ tenant }: JournalRecord, selection: ReplaySelection): boolean =>
  tenant === selection.tenant;

function serve(scope: WorkerScope<PageMail, PageNews>): void {
  const pending = new Map<string, PromiseWithResolvers<Uint8Array | undefined>>();
  let repeater: Repeater | undefined;

  const moduleBytes = (sha256: string): Promise<Uint8Array | undefined> => {
    const waiting = Promise.withResolvers<Uint8Array | undefined>();
    pending.set(sha256, waiting);
    scope.postMessage({ kind: "needs", sha256 });
    return waiting.promise;
  };

  const start = async (mail: PageMail & { readonly kind: "start" }): Promise<PageNews> => {
    const { bytes, memory_limit_pages, selection } = mail;
    const candidate = await readyModule(bytes, memory_limit_pages);
    const moduleOf = createModuleBook(moduleBytes, memory_limit_pages);
    repeater = new Repeater({ selection, isSelected, candidate, moduleOf });
    const { sha256, is_stateful } = candidate;
    return { kind: "ready", sha256, is_stateful };
  };

  const feed = async (chunk: JournalChunk): Promise<PageNews> => {
    if (repeater === undefined) throw new Error("lines came before a module");
    await repeater.feed(chunk);
    return { kind: "done", tally: plain(repeater.tally) };
  };

  const answer = (news: Promise<PageNews>): void => {
    news.catch((error): PageNews => ({ kind: "failed", message: messageOf(error) }))
      .then((answered) => scope.postMessage(answered));
  };

  scope.onmessage = ({ data }) => {
    switch (data.kind) {
      case "start":
        return answer(start(data));
      case "module":
        return pending.get(data.sha256)?.resolve(data.bytes);
      case "chunk":
        return answer(feed(data.chunk));
      default:
        data satisfies never;
    }
  };
}

serve(globalThis as unknown as WorkerScope<PageMail, PageNews>);
