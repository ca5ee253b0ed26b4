// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * A stand-in for gnif/vendor-reset in the lab machine: gives the ati card the reset method device_specific, by the same
 * means (an ftrace hook of pci_dev_specific_reset) and with the same habits: it sets NO_BUS_RESET on a card that was
 * asked for, saves and restores the other functions of the card, returns 0 whatever happened, and its log lines read
 * like vendor-reset's.
 *
 * The reset is a power cycle of the slot, after which the registers of all functions are 0. A card that was alive is
 * whole again. Of one that was dead there was nothing to save: function 0 gets what the kernel has (on 6.1 what it read
 * from the dead card, on late 6.12 the last good state), the others nothing.
 */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/wait.h>

#define LAB_VENDOR PCI_VENDOR_ID_ATI
#define LAB_DEVICE 0x5046	/* QEMU's ati-vga */

#define lab_info(dev, format, ...) pci_info(dev, "AMD_LAB: " format, ##__VA_ARGS__)
#define lab_warn(dev, format, ...) pci_warn(dev, "AMD_LAB: " format, ##__VA_ARGS__)

static bool fail;
module_param(fail, bool, 0644);
MODULE_PARM_DESC(fail, "a reset does nothing, says \"failed to reset device\" and returns 0");

static bool keep;
module_param(keep, bool, 0644);
MODULE_PARM_DESC(keep, "a card that was dead gets the state of when the method was last asked for");

static bool refuse;
module_param(refuse, bool, 0444);
MODULE_PARM_DESC(refuse, "the module cannot be loaded");

/* Tasks inside of the hook, for which the module has to stay. */
static atomic_t inside = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(left);

/* Per function of the one such card of the lab machine. */
static struct pci_saved_state *known_good[8];
static DEFINE_MUTEX(known_good_lock);

static bool is_dead(struct pci_dev *dev)
{
	u32 id;

	return pci_read_config_dword(dev, PCI_VENDOR_ID, &id) || PCI_POSSIBLE_ERROR(id);
}

static void say_status(struct pci_dev *dev)
{
	if (is_dead(dev))
		lab_info(dev, "SMU response reg: ffffffff, sol reg: ffffffff, mp1 intr enabled? yes, bl ready? yes\n");
	else
		lab_info(dev, "SMU response reg: 0, sol reg: 0, mp1 intr enabled? no, bl ready? yes\n");
}

/* Calls it for the functions of the card from number `first` on that are there. */
static void each_function(struct pci_dev *dev, unsigned int first, void (*call)(struct pci_dev *, unsigned int))
{
	unsigned int number;

	for (number = first; number < 8; number++) {
		struct pci_dev *one = pci_get_slot(dev->bus, PCI_DEVFN(PCI_SLOT(dev->devfn), number));

		if (one)
			call(one, number);
		pci_dev_put(one);
	}
}

static void save(struct pci_dev *dev, unsigned int number)
{
	pci_save_state(dev);
}

static void restore(struct pci_dev *dev, unsigned int number)
{
	pci_restore_state(dev);
}

static void remember(struct pci_dev *dev, unsigned int number)
{
	bool saved = dev->state_saved;

	if (is_dead(dev) || pci_save_state(dev))
		return;
	mutex_lock(&known_good_lock);
	kfree(known_good[number]);
	known_good[number] = pci_store_saved_state(dev);
	mutex_unlock(&known_good_lock);
	dev->state_saved = saved;
}

static void give_back(struct pci_dev *dev, unsigned int number)
{
	mutex_lock(&known_good_lock);
	/* What the kernel saved of the dead card is not restored after this: pci_restore_state() clears state_saved. */
	if (known_good[number] && !pci_load_saved_state(dev, known_good[number]))
		pci_restore_state(dev);
	mutex_unlock(&known_good_lock);
}

/* The indicator bits stay as they are: QEMU takes "power off, indicator off" for the end of a hot-unplug. */
static void set_power(struct pci_dev *port, u16 control)
{
	pcie_capability_clear_and_set_word(port, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PCC, control);
}

static int lab_reset(struct pci_dev *dev, bool probe)
{
	struct pci_dev *port = pci_upstream_bridge(dev);
	bool was_dead;

	atomic_inc(&inside);
	dev->dev_flags |= PCI_DEV_FLAGS_NO_BUS_RESET;
	if (probe) {
		each_function(dev, 0, remember);
		goto out;
	}

	lab_info(dev, "performing pre-reset\n");
	lab_info(dev, "performing reset\n");
	say_status(dev);
	was_dead = is_dead(dev);
	if (READ_ONCE(fail) || !port) {
		lab_warn(dev, "failed to reset device\n");
	} else {
		if (!was_dead)
			each_function(dev, 1, save);
		set_power(port, PCI_EXP_SLTCTL_PWR_OFF);
		msleep(50);
		set_power(port, PCI_EXP_SLTCTL_PWR_ON);
		msleep(100);
		say_status(dev);
		if (!was_dead)
			each_function(dev, 1, restore);
		else if (READ_ONCE(keep))
			each_function(dev, 0, give_back);
	}
	lab_info(dev, "performing post-reset\n");
	lab_info(dev, "reset result = 0\n");
out:
	if (atomic_dec_and_test(&inside))
		wake_up(&left);
	return 0;
}

/* Runs in place of pci_dev_specific_reset(dev, probe); only for the one card the call goes elsewhere. */
static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	struct pt_regs *regs = ftrace_get_regs(fregs);
	struct pci_dev *dev;

	if (!regs)
		return;
	dev = (struct pci_dev *)regs->di;
	if (dev->vendor == LAB_VENDOR && dev->device == LAB_DEVICE)
		regs->ip = (unsigned long)lab_reset;
}

static struct ftrace_ops hook = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY,
};

static int __init lab_init(void)
{
	static char target[] __initdata = "pci_dev_specific_reset";
	int error;

	if (refuse)
		return -EINVAL;
	error = ftrace_set_filter(&hook, target, sizeof(target) - 1, 1);
	if (!error)
		error = register_ftrace_function(&hook);
	pr_info("revived_lab_reset: hook %s\n", error ? "install failed" : "installed");
	return error;
}

static void __exit lab_exit(void)
{
	unsigned int number;

	/* It waits for those who are about to enter lab_reset (RCU tasks), not for those who sleep in it. */
	unregister_ftrace_function(&hook);
	ftrace_free_filter(&hook);
	wait_event(left, atomic_read(&inside) == 0);
	synchronize_rcu_tasks();
	for (number = 0; number < 8; number++)
		kfree(known_good[number]);
}

module_init(lab_init);
module_exit(lab_exit);
MODULE_DESCRIPTION("revived's lab: device_specific for the ati card");
MODULE_LICENSE("Dual MIT/GPL");
