/**
 * What a platform tells about the device: whether it has a network, and that a hidden page is
 * looked at again. Browsers and their workers tell it; Deno and Node do not. What follows from it
 * is `session_loop.ts`.
 */
import { OFFLINE_MS_MAX } from "../wire/bounds.ts";

/**
 * What the SDK learns of the platform; `ConnectOptions.platform_events` takes one of the program's
 * own.
 */
export interface PlatformEvents {
  /** False when there certainly is no network. */
  readonly online: boolean;
  /**
   * Calls back when a network is there again (`online`) and when a hidden page is looked at again
   * (`visible`), until the returned function is called.
   */
  listen(hear: (event: "online" | "visible") => void): () => void;
}

/** The part of a browser's globals that tells these events. */
export interface PlatformScope {
  readonly navigator?: { readonly onLine?: boolean };
  readonly document?: EventTarget & { readonly visibilityState: string };
  readonly addEventListener?: EventTarget["addEventListener"];
}

/** How long an attempt waits for a network after a wait of `waited_ms`, in ms. */
export function offlineWait(events: PlatformEvents | undefined, waited_ms: number): number {
  return events?.online === false ? Math.max(0, OFFLINE_MS_MAX - waited_ms) : 0;
}

/** The events of a browser or one of its workers; undefined where there are none. */
export function browserEvents(
  scope: PlatformScope = globalThis as unknown as PlatformScope,
): PlatformEvents | undefined {
  const { navigator, document } = scope;
  if (typeof navigator?.onLine !== "boolean" || !scope.addEventListener) return undefined;
  return {
    get online() {
      return navigator.onLine !== false;
    },
    listen(hear) {
      const over = new AbortController();
      scope.addEventListener!("online", () => hear("online"), over);
      document?.addEventListener("visibilitychange", () => {
        if (document.visibilityState === "visible") hear("visible");
      }, over);
      return () => over.abort();
    },
  };
}
