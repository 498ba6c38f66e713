/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files, the objects that they own, and the objects that they would own if no other file did.
 *
 * Of several files with the same object, the one whose name sorts first owns it; in the others it
 * is shadowed.  When the owner loses the object it becomes an orphan, and files that have it
 * shadowed are read again.  Orphans that nobody has claimed at the end of the run leave the store,
 * so an object that moves from file to file is never absent. */
#include "manifests/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "decode/decode.h"
#include "kproxy/log.h"
#include "manifests/reader.h"
#include "model/store.h"

/* Kind, namespace and name, each with its separator. */
#define KEY_SIZE 600

/* A namespace or name alone; decoding has limited it to 253. */
#define NAME_SIZE 256

/* An object that some file holds.  Small, because there is one for each object in the store. */
struct object {
	UT_hash_handle hh;
	struct file *file; /* the owner; NULL: an orphan */
	struct object *prev, *next;
	unsigned int reading; /* the last one that met it */
	char key[];
};

struct shadow {
	UT_hash_handle hh;
	char *owner; /* name of the file */
	bool logged;
	unsigned int reading;
	char key[];
};

struct file {
	UT_hash_handle hh;
	bool marked;
	enum kp_look look;
	bool is_known; /* 'version' was read */
	struct stat version;
	struct object *objects;
	struct shadow *shadows;
	size_t n_errors;
	char name[];
};

struct kp_files {
	char *path, *node_name;
	struct kp_store *store;
	struct file *files; /* sorted by name unless 'unsorted' */
	bool unsorted;
	struct object *objects; /* by key */
	struct object *orphans;
	size_t n_shadows;
	unsigned int reading; /* counts readings, to tell what the current one has met */
	struct stat directory;
};

/* One reading of one file. */
struct reading {
	struct kp_files *files;
	struct file *file;
	bool quiet;    /* what is wrong was logged before */
	bool complete; /* whatever was not met is not there */
	struct kp_place place;
	struct kp_object_id id;
};

static void look_at(struct kp_files *files, struct file *file);
static void drop_file(struct kp_files *files, struct file *file);
static void read_file(struct kp_files *files, struct file *file, const char *path, bool quiet,
		      bool partly);
static void on_object(void *arg, const struct kp_place *place, const json_t *json);
static void on_error(void *arg, const struct kp_place *place, const char *reason);
static bool claim(struct reading *r);
static void make_orphan(struct kp_files *files, struct object *object);
static void remove_orphans(struct kp_files *files);
static void drop_shadow(struct kp_files *files, struct file *file, struct shadow *shadow);
static void log_shadows(struct kp_files *files);

struct kp_files *kp_files_new(const char *path, const char *node_name, struct kp_store *store)
{
	struct kp_files *files = kp_xcalloc(1, sizeof(*files));

	files->path = kp_xstrdup(path);
	files->node_name = kp_xstrdup(node_name);
	files->store = store;
	return files;
}

void kp_files_free(struct kp_files *files)
{
	struct file *file, *next_file;
	struct object *object, *next_object;

	if (!files)
		return;
	HASH_ITER (hh, files->files, file, next_file)
		drop_file(files, file);
	HASH_ITER (hh, files->objects, object, next_object) {
		HASH_DEL(files->objects, object);
		free(object);
	}
	free(files->node_name);
	free(files->path);
	free(files);
}

void kp_files_mark(struct kp_files *files, const char *name, enum kp_look look)
{
	size_t len = strlen(name);
	struct file *file;

	HASH_FIND(hh, files->files, name, len, file);
	if (!file) {
		file = kp_xcalloc(1, sizeof(*file) + len + 1);
		memcpy(file->name, name, len + 1);
		HASH_ADD_KEYPTR(hh, files->files, file->name, len, file);
		files->unsorted = true;
	}
	if (!file->marked || look > file->look)
		file->look = look;
	file->marked = true;
}

int kp_files_mark_all(struct kp_files *files, enum kp_look look, struct kp_err *err)
{
	const struct dirent *entry;
	DIR *dir = opendir(files->path);
	int r;

	if (!dir)
		return kp_err_errno(err, errno, "open directory");
	if (fstat(dirfd(dir), &files->directory) < 0) {
		r = kp_err_errno(err, errno, "fstat directory");
		closedir(dir);
		return r;
	}
	for (errno = 0; (entry = readdir(dir)); errno = 0)
		if (kp_reader_wants(entry->d_name))
			kp_files_mark(files, entry->d_name, look);
	r = errno ? kp_err_errno(err, errno, "read directory") : 0;
	closedir(dir);
	if (r < 0)
		return r;
	for (const struct file *file = files->files; file; file = file->hh.next)
		kp_files_mark(files, file->name, look);
	return 0;
}

static int compare_names(const struct file *a, const struct file *b)
{
	return strcmp(a->name, b->name);
}

/* The directory that was listed last is still the one at its path. */
static bool directory_is_there(const struct kp_files *files)
{
	struct stat now;

	return stat(files->path, &now) == 0 && now.st_dev == files->directory.st_dev &&
	       now.st_ino == files->directory.st_ino;
}

int kp_files_run(struct kp_files *files)
{
	struct file *file, *next;
	bool again;

	do {
		/* Reading one file can mark others, and dropping one empties the list. */
		again = false;
		if (files->unsorted)
			HASH_SORT(files->files, compare_names);
		files->unsorted = false;
		HASH_ITER (hh, files->files, file, next) {
			if (!file->marked)
				continue;
			file->marked = false;
			look_at(files, file);
			again = true;
		}
	} while (again);
	remove_orphans(files);
	log_shadows(files);
	return directory_is_there(files) ? 0 : -ENOENT;
}

size_t kp_files_n_errors(const struct kp_files *files)
{
	size_t n = 0;

	for (const struct file *file = files->files; file; file = file->hh.next)
		n += file->n_errors + HASH_COUNT(file->shadows);
	return n;
}

/* --- files --- */

static bool same_version(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static bool is_symlink(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* The file is not there.  When the whole directory is gone its objects stay. */
static void miss_file(struct kp_files *files, struct file *file)
{
	if (directory_is_there(files))
		drop_file(files, file);
}

static void look_at(struct kp_files *files, struct file *file)
{
	kp_autofree char *path = kp_xasprintf("%s/%s", files->path, file->name);
	struct stat now = {0};
	bool unchanged;

	if (stat(path, &now) < 0 && errno == ENOENT) {
		miss_file(files, file);
		return;
	}
	/* A file that has no state to be seen fails again, with its reason, when it is opened. */
	unchanged = file->is_known && same_version(&now, &file->version);
	if (unchanged && file->look != KP_LOOK_WRITTEN && file->look != KP_LOOK_AGAIN)
		return;
	file->version = now;
	/* A link is complete as soon as it is there. */
	read_file(files, file, path, unchanged && file->look == KP_LOOK_AGAIN,
		  file->look == KP_LOOK_OPEN && !is_symlink(path));
}

static void drop_file(struct kp_files *files, struct file *file)
{
	struct shadow *shadow, *next_shadow;

	while (file->objects)
		make_orphan(files, file->objects);
	HASH_ITER (hh, file->shadows, shadow, next_shadow)
		drop_shadow(files, file, shadow);
	HASH_DEL(files->files, file);
	free(file);
}

/* The file cannot be read, or not to its end. */
static void log_file_error(struct reading *r, const struct kp_err *err)
{
	r->complete = false;
	r->file->n_errors++;
	if (!r->quiet)
		kp_log_error("manifests", "file not read, previous state kept", "file=%s error=%s",
			     kp_log_quote(r->file->name), kp_log_quote(err->text));
}

static void forget_unmet(struct kp_files *files, struct file *file)
{
	struct shadow *shadow, *next_shadow;
	struct object *object, *next_object;

	for (object = file->objects; object; object = next_object) {
		next_object = object->next;
		if (object->reading != files->reading)
			make_orphan(files, object);
	}
	HASH_ITER (hh, file->shadows, shadow, next_shadow)
		if (shadow->reading != files->reading)
			drop_shadow(files, file, shadow);
}

/* 'partly': the file may be incomplete although it looks fine. */
static void read_file(struct kp_files *files, struct file *file, const char *path, bool quiet,
		      bool partly)
{
	struct reading r = {.files = files, .file = file, .quiet = quiet, .complete = !partly};
	const struct kp_object_sink sink = {.object = on_object, .error = on_error, .arg = &r};
	struct kp_err err;
	int fd;

	fd = kp_reader_open(path, &file->version, &err);
	if (fd == -ENOENT) {
		miss_file(files, file);
		return;
	}
	if (fd == -ENOTSUP) {
		kp_log_debug("manifests", "not a file, ignored", "file=%s",
			     kp_log_quote(file->name));
		drop_file(files, file);
		return;
	}
	files->reading++;
	file->n_errors = 0;
	file->is_known = !partly;
	if (fd < 0) {
		log_file_error(&r, &err);
		return;
	}
	if (kp_reader_read(fd, path, &sink, &err) < 0)
		log_file_error(&r, &err);
	close(fd);
	if (r.complete)
		forget_unmet(files, file);
}

/* --- what a reading brings --- */

/* "Service default/web"; 'buf' holds at least KEY_SIZE bytes. */
static const char *id_text(const struct kp_object_id *id, char *buf)
{
	snprintf(buf, KEY_SIZE, "%s %s%s%s", kp_kind_name(id->kind), id->ns, *id->ns ? "/" : "",
		 id->name);
	return buf;
}

static void log_object_error(struct reading *r, const char *reason)
{
	char name[KEY_SIZE] = "";

	r->file->n_errors++;
	if (r->quiet)
		return;
	if (r->id.name)
		id_text(&r->id, name);
	kp_log_error("manifests", "object ignored, previous state kept",
		     "file=%s document=%u object=%u line=%u%s%s error=%s",
		     kp_log_quote(r->file->name), r->place.document, r->place.object, r->place.line,
		     *name ? " name=" : "", *name ? kp_log_quote(name) : "", kp_log_quote(reason));
}

static void log_object_debug(const struct reading *r, const char *why)
{
	kp_log_debug("manifests", "object ignored", "file=%s document=%u object=%u line=%u why=%s",
		     kp_log_quote(r->file->name), r->place.document, r->place.object, r->place.line,
		     kp_log_quote(why));
}

static void on_warning(void *arg, const char *text)
{
	const struct reading *r = arg;
	char name[KEY_SIZE];

	if (!r->quiet)
		kp_log_warn("manifests", "part of an object ignored",
			    "file=%s document=%u object=%u line=%u name=%s reason=%s",
			    kp_log_quote(r->file->name), r->place.document, r->place.object,
			    r->place.line, kp_log_quote(id_text(&r->id, name)), kp_log_quote(text));
}

static void on_error(void *arg, const struct kp_place *place, const char *reason)
{
	struct reading *r = arg;

	r->complete = false;
	r->place = *place;
	if (place->object > 0) {
		log_object_error(r, reason);
		return;
	}
	r->file->n_errors++;
	if (!r->quiet)
		kp_log_error("manifests", "rest of the document ignored, previous state kept",
			     "file=%s document=%u line=%u error=%s", kp_log_quote(r->file->name),
			     place->document, place->line, kp_log_quote(reason));
}

/* An object with a name, whatever else is wrong with it: a bad one is there, so that its previous
 * state stays in the store. */
static void take_object(struct reading *r, enum kp_decode_result result, struct kp_object *object,
			const char *why, const struct kp_err *err)
{
	bool is_ours = claim(r);

	if (result == KP_DECODE_BAD)
		log_object_error(r, err->text);
	else if (result == KP_DECODE_SKIP)
		log_object_debug(r, why);

	if (is_ours && result == KP_DECODED)
		kp_store_put(r->files->store, object);
	else if (is_ours && result == KP_DECODE_SKIP)
		kp_store_remove(r->files->store, r->id.kind, r->id.ns, r->id.name);
	else if (result == KP_DECODED)
		kp_object_clear(object);
}

static void on_object(void *arg, const struct kp_place *place, const json_t *json)
{
	struct reading *r = arg;
	const struct kp_decode_options options = {
		.node_name = r->files->node_name,
		.warn = on_warning,
		.warn_arg = r,
	};
	enum kp_decode_result result;
	struct kp_object object;
	struct kp_err err;
	char why[128];

	r->place = *place;
	result = kp_decode_object(json, &options, &r->id, &object, why, &err);
	if (r->id.name) {
		take_object(r, result, &object, why, &err);
	} else if (result == KP_DECODE_FOREIGN) {
		log_object_debug(r, why);
	} else {
		r->complete = false;
		log_object_error(r, err.text);
	}
	kp_object_id_clear(&r->id);
}

/* --- who owns what --- */

/* Kind, namespace and name; none of them can hold a slash. */
static size_t make_key(const struct kp_object_id *id, char buf[KEY_SIZE])
{
	return snprintf(buf, KEY_SIZE, "%c/%s/%s", '0' + id->kind, id->ns, id->name);
}

static void split_key(const char *key, enum kp_kind *ret_kind, char ns[NAME_SIZE],
		      const char **ret_name)
{
	const char *slash = strrchr(key, '/');

	*ret_kind = key[0] - '0';
	snprintf(ns, NAME_SIZE, "%.*s", (int)(slash - key - 2), key + 2);
	*ret_name = slash + 1;
}

static void drop_shadow(struct kp_files *files, struct file *file, struct shadow *shadow)
{
	HASH_DEL(file->shadows, shadow);
	files->n_shadows--;
	free(shadow->owner);
	free(shadow);
}

/* Notes that 'file' has an object that 'owner' owns. */
static void add_shadow(struct kp_files *files, struct file *file, const char *key,
		       const char *owner)
{
	size_t len = strlen(key);
	struct shadow *shadow;

	HASH_FIND(hh, file->shadows, key, len, shadow);
	if (!shadow) {
		shadow = kp_xcalloc(1, sizeof(*shadow) + len + 1);
		memcpy(shadow->key, key, len + 1);
		HASH_ADD_KEYPTR(hh, file->shadows, shadow->key, len, shadow);
		files->n_shadows++;
	}
	if (!shadow->owner || strcmp(shadow->owner, owner) != 0) {
		free(shadow->owner);
		shadow->owner = kp_xstrdup(owner);
		shadow->logged = false;
	}
	shadow->reading = files->reading;
}

static void give_to(struct object *object, struct file *file)
{
	object->file = file;
	DL_APPEND(file->objects, object);
}

static struct object *add_object(struct kp_files *files, const char *key, size_t len)
{
	struct object *object = kp_xcalloc(1, sizeof(*object) + len + 1);

	memcpy(object->key, key, len + 1);
	HASH_ADD_KEYPTR(hh, files->objects, object->key, len, object);
	return object;
}

/* Whether the object that was just met counts, or one that was met before. */
static bool claim(struct reading *r)
{
	struct kp_files *files = r->files;
	struct file *file = r->file;
	char key[KEY_SIZE];
	size_t len = make_key(&r->id, key);
	struct object *object;

	HASH_FIND(hh, files->objects, key, len, object);
	if (!object)
		object = add_object(files, key, len);

	if (object->file == file && object->reading == files->reading) {
		log_object_error(r, "comes twice in this file, the first one counts");
		return false;
	}
	if (object->file && strcmp(object->file->name, file->name) < 0) {
		add_shadow(files, file, key, object->file->name);
		return false;
	}
	if (object->file && object->file != file) {
		add_shadow(files, object->file, key, file->name);
		DL_DELETE(object->file->objects, object);
		object->file = NULL;
	} else if (!object->file && object->prev) {
		DL_DELETE(files->orphans, object);
	}
	if (object->file != file)
		give_to(object, file);
	object->reading = files->reading;
	return true;
}

static void mark_shadowing(struct kp_files *files, const char *key)
{
	struct shadow *shadow;

	if (files->n_shadows == 0)
		return;
	for (const struct file *file = files->files; file; file = file->hh.next) {
		HASH_FIND_STR(file->shadows, key, shadow);
		if (shadow)
			kp_files_mark(files, file->name, KP_LOOK_AGAIN);
	}
}

static void make_orphan(struct kp_files *files, struct object *object)
{
	DL_DELETE(object->file->objects, object);
	object->file = NULL;
	DL_APPEND(files->orphans, object);
	mark_shadowing(files, object->key);
}

static void remove_orphans(struct kp_files *files)
{
	struct object *object;
	char ns[NAME_SIZE];
	const char *name;
	enum kp_kind kind;

	while ((object = files->orphans)) {
		split_key(object->key, &kind, ns, &name);
		kp_store_remove(files->store, kind, ns, name);
		DL_DELETE(files->orphans, object);
		HASH_DEL(files->objects, object);
		free(object);
	}
}

/* At the end of a run, because an object that moves to another file is in both for a moment. */
static void log_shadows(struct kp_files *files)
{
	char ns[NAME_SIZE], text[KEY_SIZE];
	struct kp_object_id id = {.ns = ns};
	const char *name;

	if (files->n_shadows == 0)
		return;
	for (struct file *file = files->files; file; file = file->hh.next) {
		for (struct shadow *s = file->shadows; s; s = s->hh.next) {
			if (s->logged)
				continue;
			split_key(s->key, &id.kind, ns, &name);
			id.name = (char *)name;
			kp_log_error("manifests", "object ignored, another file has it",
				     "file=%s other=%s name=%s", kp_log_quote(file->name),
				     kp_log_quote(s->owner), kp_log_quote(id_text(&id, text)));
			s->logged = true;
		}
	}
}
