#!/usr/bin/env python3
"""Makes the example's monthly files from the 4,930 customers of telco-churn.csv (see README.md).

    split.py telco-churn.csv

Every choice follows from a hash of the customer's id, so that the same files come out on every machine.
"""

import csv
import hashlib
import sys


def place(row, purpose):
    """A number in [0, 1) that follows from the customer and the purpose."""
    digest = hashlib.sha256((purpose + row["customerid"]).encode()).hexdigest()
    return int(digest[:8], 16) / 2**32


def has_fibre_by_the_month(row):
    return row["contract"] == "Month-to-month" and row["internetservice"] == "Fiber optic"


def write(name, rows, columns):
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["customerid"]))
    print(f"{name}: {len(rows)} customers")


def main():
    with open(sys.argv[1], newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])

    # March: mostly the customers whom a campaign for fibre without a fixed term brought in.
    march = [row for row in rows if place(row, "drift") < (0.7 if has_fibre_by_the_month(row) else 0.06)]
    others = [row for row in rows if row not in march]
    others.sort(key=lambda row: place(row, "part"))
    january, february = [dict(row) for row in others[:1800]], others[1800:]

    # January's export is badly filled: contract and internet service are missing for 40 % of the customers.
    for row in january:
        for column in ("contract", "internetservice"):
            if place(row, "gap" + column) < 0.4:
                row[column] = ""

    write("january.csv", january, columns)
    write("february.csv", february, columns)
    write("march.csv", march, columns)

    # Somebody changed the export: the contract is gone, and charges are written in words.
    broken = [dict(row, monthlycharges=f"{row['monthlycharges']} dollars") for row in march[:400]]
    for row in broken:
        del row["contract"]
    write("march-broken.csv", broken, [column for column in columns if column != "contract"])


if __name__ == "__main__":
    main()
