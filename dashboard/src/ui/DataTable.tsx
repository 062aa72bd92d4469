import { Table, Text } from "@mantine/core";
import type { ReactNode } from "react";

export interface Column<Row> {
  title: ReactNode;
  cell: (row: Row) => ReactNode;
}

interface Props<Row> {
  /** Said to screen readers. */
  caption: string;
  columns: Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  /** What to say, and to do next, when there are no rows. */
  empty: ReactNode;
  /** Below this width, in pixels, the table scrolls: more for many columns. */
  minWidth?: number;
}

/** A table that scrolls within itself on narrow screens. */
export function DataTable<Row>({
  caption,
  columns,
  rows,
  rowKey,
  empty,
  minWidth = 640,
}: Props<Row>) {
  if (rows.length === 0) {
    return <Text c="dimmed">{empty}</Text>;
  }
  return (
    <Table.ScrollContainer
      minWidth={minWidth}
      type="native"
      tabIndex={0}
      role="region"
      aria-label={caption}
      // What is there for screen readers alone scrolls with the rest, too.
      pos="relative"
    >
      <Table striped highlightOnHover verticalSpacing="xs" aria-label={caption}>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: columns never move.
              <Table.Th key={index} scope="col">
                {column.title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={rowKey(row)}>
              {columns.map((column, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns never move.
                <Table.Td key={index}>{column.cell(row)}</Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
