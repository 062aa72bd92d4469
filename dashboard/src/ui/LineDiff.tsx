import { type DiffLine, lineDiff } from "../text/lineDiff";
import { VisibleText } from "../text/VisibleText";
import classes from "./LineDiff.module.css";

const marks: Record<DiffLine["kind"], { sign: string; word: string }> = {
  same: { sign: " ", word: "" },
  added: { sign: "+", word: "added: " },
  removed: { sign: "-", word: "removed: " },
};

/** Two texts as one, line by line. An empty one has no lines. */
export function LineDiff({ before, after }: { before: string; after: string }) {
  const lines = lineDiff(before, after).filter(
    (line) => !(line.text === "" && (before === "" || after === "")),
  );
  return (
    <div className={classes.diff}>
      {lines.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines of one difference never move.
        <div key={index} className={classes[line.kind]}>
          <span aria-hidden="true">{marks[line.kind].sign} </span>
          <span className={classes.word}>{marks[line.kind].word}</span>
          <VisibleText text={line.text} />
        </div>
      ))}
    </div>
  );
}
