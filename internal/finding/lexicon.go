package finding

import "strings"

// class is a set of meanings that words have for the rules, one bit each.
type class [2]uint64

// meets reports whether two sets have a meaning in common.
func (c class) meets(other class) bool { return c[0]&other[0]|c[1]&other[1] != 0 }

// or returns the meanings of both.
func (c class) or(other class) class { return class{c[0] | other[0], c[1] | other[1]} }

// without returns the meanings that other has not.
func (c class) without(other class) class { return class{c[0] &^ other[0], c[1] &^ other[1]} }

// none is what words mean that are not in the lexicon.
var none class

func bit(i int) (c class) {
	c[i/64] = 1 << (i % 64)
	return c
}

// meanings are the classes and their words, in lower case and without
// apostrophes. A word may have several. Of verbs that give orders only the form of
// an order is here: a tool that "reads files" describes itself.
var meanings = []struct{ name, words string }{
	{"ignore", `ignore disregard forget disobey ignoring disregarding forgetting
		ignora ignore ignorez oubliez oublie ignoriere ignorieren vergiss missachte ignorar ignorad olvida olvide ignorare dimentica esqueça
		игнорируй игнорируйте забудь забудьте negeer ignoruj ignorujte yoksay تجاهل
		abaikan ignorera strunta ignorer glem ignoră uită zignoruj zapomnij ohita unohda ігноруй забудь αγνόησε αγνοήστε ξέχασε
		התעלם שכח अनदेखा भूल بگیر نادیده`},
	{"override", `override overrule bypass circumvent supersede evade`},
	{"prior", `previous prior above earlier preceding existing all any other your former original current everything anything
		anteriores anterior previas previa précédentes precedentes précédente vorherigen vorherige bisherigen alle todas todos toutes tes vos
		предыдущие прежние все precedenti tutte prévias vorige wszystkie poprzednie önceki السابقة
		semua sebelumnya alla tidigare föregående alle tidligere foregående toate anterioare všechny předchozí összes korábbi kaikki aiemmat
		усі попередні όλες προηγούμενες كل جميع כל הקודמות पिछले सभी تمام قبلی`},
	{"orders", `instructions instruction guidelines directives directive guardrails safeguards orders programming
		instrucciones indicaciones consignes anweisungen instruktionen anweisung инструкции инструкций указания istruzioni instruções instruksi
		instructies polecenia instrukcje talimatları talimatlar التعليمات
		instruksi instruktioner instrukser instrucțiunile instrucțiuni pokyny instrukce utasítást utasításokat ohjeet ohjeita інструкції
		вказівки οδηγίες ההוראות הוראות निर्देशों निर्देश دستورات`},
	{"rules", `rules policies policy prompt prompts constraints restrictions filters commands training reglas règles regeln правила`},
	{"neg", `not never dont do_not without avoid no cannot cant shouldnt mustnt neither nor nunca jamás nicht niemals не ne pas`},
	{"tell", `tell mention inform notify alert reveal disclose divulge admit acknowledge warn telling mentioning informing notifying alerting
		revealing disclosing warning told informed notified mentioned
		menciones mencione digas informes erwähne sage verrate mentionne dis informe говори сообщай упоминай`},
	{"show", `show display print output explain describe showing displaying explaining report surface expose confirm ask asking confirmation`},
	{"user", `user users human humans person customer operator owner them anyone anybody people usuario benutzer nutzer utilisateur
		l'utilisateur lutilisateur пользователю пользователь utente usuário`},
	{"this", `this that it these step steps instruction instructions fact`},
	{"know", `know aware notice noticed told informed suspect realize realise alerted`},
	{"hide", `hide conceal keep hiding concealing keeping withhold`},
	{"secret_manner", `secretly covertly stealthily surreptitiously discreetly undetected unnoticed invisibly`},
	{"quiet_manner", `silently quietly background`},
	{"hidden", `secret hidden confidential private invisible silent`},
	{"from", `from to`},
	{"take", `read open get fetch load cat retrieve collect extract include attach send pass copy provide dump print access grab gather
		export upload leak steal exfiltrate append insert embed put find scan harvest submit share paste
		reading including sending passing fetching collecting uploading extracting
		lee leer envía envia enviar lies lis lire envoie envoyer sende прочитай отправь leggi invia leia envie`},
	{"give", `send forward post upload email transmit include pass append attach share report copy submit insert put add leak exfiltrate
		relay embed provide place paste deliver dump mail supply
		sending forwarding uploading posting including passing envía enviar sende envoie отправь invia envie`},
	{"dispatch", `send forward post upload email transmit exfiltrate leak relay deliver mail bcc cc sync push submit copy pipe prepend
		sending forwarding uploading posting`},
	{"content", `content contents value values body text contenido inhalt contenu содержимое data`},
	{"payload", `data content contents file files result results output outputs response responses history conversation secret secrets
		information details messages message prompt environment credentials tokens keys arguments token payload email emails mail mails answer answers`},
	{"chat", `conversation chat dialogue dialog session`},
	{"history", `history log logs transcript transcripts so context messages`},
	{"whole", `entire whole full complete all previous prior every verbatim recent`},
	{"system", `system developer hidden`},
	{"prompt", `prompt prompts instructions message`},
	{"transcript", `chat_history`},
	{"keyish", `api ssh access secret encryption signing rsa pgp gpg aws session bearer auth private wallet seed recovery oauth`},
	{"key", `key keys token tokens cookie cookies phrase phrases credential credentials password passwords secrets`},
	{"environment", `environment env`},
	{"variable", `variable variables vars`},
	{"secret", `credentials passwords secrets apikey apikeys credential password contraseñas claves passwörter пароли ключи`},
	{"keyfile", ``},
	{"secretfile", ``},
	{"url", ``},
	{"email", ``},
	{"phone", ``},
	{"gate", `before prior until first`},
	{"when", `whenever when after every each once before always any`},
	{"anyother", `any other another every all others`},
	{"rival", `other others another alternative competing`},
	{"tool", `tool tools function functions`},
	{"use", `use using call calling invoke invoking run running executing execute used called invoked`},
	{"prefer", `choose prefer select pick favor favour use`},
	{"instead", `instead over rather replace replaces replacing supersedes deprecated broken obsolete never stop`},
	{"alternative", `other others another alternative alternatives competing similar any all built builtin default native`},
	{"you", `you your`},
	{"are", `are re must shall will become have need needs`},
	{"now", `now henceforth onwards`},
	{"persona", `admin administrator root dan unrestricted jailbroken unfiltered uncensored jailbreak superuser`},
	{"obey", `obey comply obeying complying`},
	{"follow", `follow obey execute comply perform`},
	{"authority", `highest absolute supreme ultimate`},
	{"priority", `priority precedence authority`},
	{"must", `must always should all every any regardless required mandatory never shall`},
	{"recipient", `recipient recipients beneficiary payee destination address account iban wallet bcc cc number`},
	{"change", `change replace redirect substitute swap modify reroute switch rewrite alter changing replacing`},
	{"parameter", `parameter field argument sidenote side_note note notes param feedback comment context metadata arg`},
	{"example", `example examples eg e.g like detect detects detecting detection prevents prevent blocks against attempts attack attacks
		injection flags identifies catches sanitizes refuse refuses such phrases`},
	{"regardless", `regardless irrespective notwithstanding`},
	{"order_source", `response responses result results output page file document returned there url website error body below above`},
	{"seen", `seen see know encountered remember access found find`},
	{"mode", `mode`},
	{"theft", `exfiltrate steal harvest siphon exfiltrating stealing`},
	{"reply", `response responses answer answers reply replies output`},
	{"sinkword", `sidenote sidenotes note notes context metadata comment memo`},
	{"act", `act behave pretend roleplay`},
	{"pretend", `pretend roleplay imagine`},
	{"above", `above foregoing`},
	{"reveal", `reveal repeat print output show display dump recite echo disclose expose`},
	{"loop", `loop notify inform alert let`},
	{"safety", `safety security ethical content`},
	{"measures", `measures checks rules filters guidelines restrictions controls limits policies guardrails`},
	{"first", `first`},
	{"between", `between`},
	{"us", `us ourselves`},
	{"place", `place stead`},
	{"special", `developer god debug dan jailbreak unrestricted admin`},
}

// classOf gives the bit of a class by its name.
var classOf = func() map[string]class {
	if len(meanings) > 64*len(none) {
		panic("finding: more classes than bits")
	}
	bits := make(map[string]class, len(meanings))
	for i, m := range meanings {
		bits[m.name] = bit(i)
	}
	return bits
}()

// lexicon gives the classes of a word.
var lexicon = func() map[string]class {
	words := make(map[string]class)
	for i, m := range meanings {
		for _, word := range strings.Fields(m.words) {
			word = strings.ToLower(plain(word))
			words[word] = words[word].or(bit(i))
		}
	}
	return words
}()

// compounds are classes that two neighbouring words have only together: "api key",
// "chat history".
var compounds = func() (all []compound) {
	for _, c := range [][3]string{
		{"keyish", "key", "secret"}, {"environment", "variable", "secret"}, {"chat", "history", "transcript"},
		{"whole", "chat", "transcript"}, {"system", "prompt", "transcript"},
	} {
		all = append(all, compound{classOf[c[0]], classOf[c[1]], classOf[c[2]]})
	}
	return all
}()

type compound struct{ first, second, means class }

// secretFiles are parts of the names of files that hold what opens other doors.
var secretFiles = func() (all []secretFile) {
	for class, needles := range map[string]string{
		"keyfile": `.ssh id_rsa id_ed25519 id_ecdsa id_dsa /etc/shadow .aws/credentials .gnupg .git-credentials wallet.dat .kube/config
			cookies.sqlite login.keychain .docker/config.json .pgpass master.key`,
		"secretfile": `.env /etc/passwd mcp.json claude_desktop_config .npmrc .netrc .bash_history .zsh_history .bashrc .zshrc credentials.json
			secrets.yaml secrets.yml .pypirc config/gcloud .aws/config .vscode/settings /proc/self/environ`,
	} {
		for _, needle := range strings.Fields(needles) {
			all = append(all, secretFile{needle, classOf[class]})
		}
	}
	return all
}()

type secretFile struct {
	needle string
	class  class
}

// unspaced are phrases of languages that are written without blanks, or whose
// words change too much to be listed.
var unspaced = func() (all []phrase) {
	for class, texts := range map[string]string{
		"ignore":     `忽略 无视 無視 忘记 忘記 忽视 不理会 무시 เพิกเฉย`,
		"prior":      `之前 以前 先前 前面 上述 所有 以上 これまで 이전 모든 ก่อนหน้า`,
		"orders":     `指令 指示 命令 提示词 提示詞 說明 规则 プロンプト 지시 명령 คำสั่ง`,
		"neg":        `不要 请勿 切勿 不得 別 勿 ないで しないで 禁止 마세요 말고`,
		"tell":       `告诉 告訴 告知 透露 提及 知らせ 伝え 言わ 알리 말하`,
		"user":       `用户 用戶 使用者 ユーザー 사용자`,
		"take":       `读取 讀取 获取 獲取 発信 読み取 読んで 送信 发送 發送 읽고 읽어 보내`,
		"dispatch":   `发送 發送 上传 送信 보내`,
		"give":       `发送 發送 传递 上传 上傳 送信 添付 보내 전송`,
		"transcript": `系统提示词 系統提示詞 对话历史 對話歷史 聊天记录 会話履歴 대화기록`,
		"override":   `绕过 繞過 解除`, "safety": `安全`, "measures": `限制`, "special": `开发者 管理员`, "mode": `模式`,
		"reveal": `输出 輸出 显示`, "you": `你的`,
		"secret": `密钥 密鑰 私钥 密码 密碼 凭证 パスワード 秘密鍵 비밀번호`,
	} {
		for _, text := range strings.Fields(texts) {
			all = append(all, phrase{text, classOf[class]})
		}
	}
	return all
}()

type phrase struct {
	text  string
	class class
}
