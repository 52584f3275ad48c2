# Names of the variables that goals of a Makefile read, by themselves or in what they are made from:
#   awk -v goals="eval review" -f variables_read.awk Makefile
# PY is always one of them; and where a goal is no rule of the file, every name is.

/^\t/ || continued { text[place] = text[place] " " $0; continued = /\\$/; next }
{ sub(/##.*/, ""); continued = /\\$/ }
/^[A-Za-z.][A-Za-z.-]* *[:?]?=/ { place = $0; sub(/ *[:?]?=.*/, "", place); text[place] = $0 }
/^[A-Za-z.][A-Za-z.\/-]*:( |$)/ { place = $0; sub(/:.*/, "", place); made_from[place] = $0; sub(/^[^:]*:/, "", made_from[place]) }

function follow(place, words, count, i) {
    if (place in seen) return
    seen[place] = 1
    if (place ~ /^[A-Z][A-Z0-9_]*$/) print place
    count = split(text[place], words, /[^A-Za-z0-9_.-]+/)
    for (i = 1; i <= count; i++) if (!(words[i] in made_from)) follow(words[i])
    count = split(made_from[place], words)
    for (i = 1; i <= count; i++) follow(words[i])
}

END {
    follow("PY")
    count = split(goals, goal)
    for (i = 1; i <= count; i++) if (!(goal[i] in made_from)) all = 1
    if (all) for (place in made_from) follow(place)
    else for (i = 1; i <= count; i++) follow(goal[i])
}
