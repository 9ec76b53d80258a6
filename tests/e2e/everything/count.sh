# Count the lines of a file, as a program.
wc -l < "$1" | tr -d " " > "$2"
