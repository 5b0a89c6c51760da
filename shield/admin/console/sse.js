// Reads `text/event-stream` from pieces of text, because EventSource cannot send a token in a header.
// Pure; it reads only `data` and `event`, which the tail needs.

/** Longest event, in UTF-16 units: far above the largest message. A longer one is skipped. */
const EVENT_UNITS_MAX = 33_554_432;

/** Calls `onEvent({event, data})` for each complete event in the pushed text. */
export function createSseReader(onEvent, event_units_max = EVENT_UNITS_MAX) {
  let rest = "";
  let event = "message";
  let data = [];
  let units = 0;
  /** The rest of a line that is too long is skipped. */
  let skips_line = false;

  function line(text) {
    if (text === "") {
      if (data.length > 0 && units <= event_units_max) onEvent({ event, data: data.join("\n") });
      event = "message";
      data = [];
      units = 0;
      return;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    if (field !== "data") return;
    units += value.length;
    if (units <= event_units_max) data.push(value);
  }

  return {
    push(text) {
      // A line break of two characters may be split between two pieces.
      const all = rest + text;
      const held = all.endsWith("\r") ? "\r" : "";
      const lines = (held === "" ? all : all.slice(0, -1)).split(/\r\n|\r|\n/);
      rest = lines.pop() + held;
      for (const one of lines) {
        if (!skips_line) line(one);
        skips_line = false;
      }
      if (rest.length <= event_units_max) return;
      rest = "";
      units = Infinity;
      skips_line = true;
    },
  };
}
