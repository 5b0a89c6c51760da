// JSON that a reducer writes: texts of users in events and answers. It reads none.

/** A text as JSON has it, with its quotes. */
export function quote(text: string): string {
  let quoted = '"';
  let begin = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit >= 0x20 && unit != 0x22 && unit != 0x5C) continue;
    quoted += text.substring(begin, at);
    if (unit >= 0x20) quoted += "\\" + text.charAt(at);
    else quoted += unit < 16 ? "\\u000" + unit.toString(16) : "\\u00" + unit.toString(16);
    begin = at + 1;
  }
  return quoted + text.substring(begin) + '"';
}
