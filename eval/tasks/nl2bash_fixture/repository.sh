# A repository for the git rows of data/nl2bash. Runs inside the sandbox, once; repository.py names its branches and
# revisions for each row. 61 commits on `work`, a day or more apart; branches b0 to b5; tags r0 to r60, the newest first.
# After it, with DIRTY=1, every tracked source has staged and unstaged changes and there are files git does not know.
set -e
cd /home/user/project
git init -q -b work .
rm -rf .git/hooks .git/info .git/description
# Fewer differences between runs: the index looks at times and sizes of files only.
git config core.checkStat minimal
git config core.trustctime false
git config core.logAllRefUpdates false
git config commit.gpgsign false
git config gc.auto 0
NOW=1768478400
AUTHORS='grace heidi ivan judy oscar peggy mysql nagios victor walter trent priya alice bob carol dave erin frank www-data postgres deploy jenkins nina omar kofi'
SOURCES='index.js router.go schema.sql client.rs views.php worker.rb Jenkinsfile package.json style.css app/forms.ts src/engine.go lib/queue.java main.py utils.py server.py models.py auth.c parser.c Dockerfile Makefile setup.cfg app/routes.py src/cli.py lib/cache.rb ledger.sql inventory.go turbine.rs'
ENDINGS='txt log py csv json md sh conf yaml html js xml sql tex go rs'
number_of() { echo $#; }
pick() { shift "$(( $1 % ($# - 1) + 1 ))"; echo "$1"; }

mkdir -p app src lib docs/guide data
place=0
for file in $SOURCES; do
    place=$((place + 1))
    awk -v f="$file" -v p="$place" 'BEGIN { for (i = 1; i <= 130; i++) printf "%s line %d of %s, value %d\n", (i % 5 ? "keep" : "check"), i, f, i * p % 97 }' > "$file"
done
place=0
for ending in $ENDINGS; do
    place=$((place + 1))
    printf 'first %s\n' "$ending" > "docs/page-$place.$ending"
    printf 'no %s file\n' "$ending" > "docs/guide/old.$ending.bak"
    printf 'second %s\n' "$ending" > "docs/guide/part.$ending"
    for number in $(seq "$((place % 5 + place / 5))"); do printf 'third %s\n' "$ending" > "data/set-$number.$ending"; done
done
printf '*.tmp\nbuild/\n' > .gitignore
git add -f .

# Ages in tenths of a day, the oldest first: a commit on each side of every limit that a row may name.
AGES='2500 2000 1804 1794 1400 1004 994 984 904 894 804 794 784 700 604 594 584 520 454 444'
days=40
while [ $days -ge 0 ]; do AGES="$AGES $((days * 10 + 4))"; days=$((days - 1)); done
count=$(number_of $AGES)
place=0
commit() { # age in tenths of a day, author, message
    when="$((NOW - $1 * 8640)) +0000"
    GIT_AUTHOR_NAME=$2 GIT_AUTHOR_EMAIL=$2@example.org GIT_COMMITTER_NAME=$2 GIT_COMMITTER_EMAIL=$2@example.org \
        GIT_AUTHOR_DATE=$when GIT_COMMITTER_DATE=$when git commit -q -a -m "$3"
}
for age in $AGES; do
    for step in 1 7 11; do
        file=$(pick $((place * step + step)) $SOURCES)
        sed -i "$((place * step % 110 + 3))s/\$/ (edit $place)/; $((place * step % 90 + 9))a\\
added in step $place for $file" "$file"
    done
    commit "$age" "$(pick $((place * 7 + VARIANT)) $AUTHORS)" "$(pick $place Add Fix Rename Speed Clean Document) part $place"
    place=$((place + 1))
    git tag "r$((count - place))"
done
for branch in 0 1 2 3 4 5; do
    git checkout -q -b "b$branch" "r$((branch * 6 + 3))"
    for file in $SOURCES; do sed -i "$((branch * 9 + 20))s/\$/ on branch $branch/" "$file"; done
    rm "$(pick $((branch * 5)) $SOURCES)"
    printf 'only on branch %s\n' "$branch" > "docs/branch-$branch.md"
    git add docs
    commit "$((branch * 13 + 6))" "$(pick $((branch * 3)) $AUTHORS)" "Work on branch $branch"
done
git checkout -q work
git gc -q --prune=now
git pack-refs --all
if [ -n "$DIRTY" ]; then
    for file in $SOURCES; do sed -i '12s/$/ staged here/; 61d' "$file"; done
    printf 'a new file\n' > lib/staged.txt
    git add .
    for file in $SOURCES; do sed -i '30s/keep/keep unstaged/; 99a\
one more line' "$file"; done
    for ending in $ENDINGS; do printf 'unknown to git\n' > "docs/loose.$ending"; done
    mkdir build
    printf 'ignored\n' > build/out.js
    printf 'ignored\n' > scrap.tmp
fi
rm -rf .git/logs .git/ORIG_HEAD .git/COMMIT_EDITMSG .git/info .git/branches
find . -exec touch -h -d '3 days ago' {} +
